//! What every source owes.

use kiln_core::{Chunk, ChunkLimits, Kind, Position, Source, cells_as_json};

/// Opens the same source again.
pub type Make = dyn Fn() -> Box<dyn Source> + Send + Sync;

/// An item as the suite compares it: its ordinal, its origin's line, and its
/// values, or the message of what is wrong with it.
type Seen = (u64, Option<u64>, Result<String, String>);

fn limits(items: usize) -> ChunkLimits {
    ChunkLimits { items, ..ChunkLimits::default() }
}

async fn read(source: &mut dyn Source, items: usize) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    while let Some(chunk) = source.next(&limits(items)).await.expect("a readable source") {
        chunks.push(chunk);
    }
    assert!(source.next(&limits(items)).await.unwrap().is_none(), "the end stays the end");
    chunks
}

fn seen(chunks: &[Chunk]) -> Vec<Seen> {
    let mut all: Vec<Seen> = Vec::new();
    for chunk in chunks {
        let origins = &chunk.items.origins;
        for (row, ordinal) in chunk.items.ordinals.iter().enumerate() {
            let values = cells_as_json(&chunk.items.batch, row).unwrap();
            all.push((*ordinal, origins.line(*ordinal), Ok(values)));
        }
        for failure in &chunk.failures {
            let why = failure.fault.to_string();
            all.push((failure.ordinal, origins.line(failure.ordinal), Err(why)));
        }
    }
    all.sort_by_key(|(ordinal, ..)| *ordinal);
    all
}

async fn whole(make: &Make) -> Vec<Seen> {
    let all = seen(&read(&mut *make(), 0).await);
    assert!(all.len() >= 12, "the suite needs a source of 12 items or more");
    all
}

/// The start of a chunk is the end of the one before; its ordinals are all of
/// its span, each once; none holds more than the limit.
pub async fn chunks_follow_each_other_and_none_is_empty(make: &Make) {
    let count = whole(make).await.len();
    for limit in [1, 2, 5, count - 1, count, count + 1] {
        let mut source = make();
        let schema = source.schema();
        let chunks = read(&mut *source, limit).await;
        let mut before = Position::default();
        for chunk in &chunks {
            assert_eq!(chunk.start, before, "limit {limit}");
            assert_eq!(chunk.items.batch.schema(), schema);
            assert_eq!(chunk.items.batch.num_rows(), chunk.items.len());
            assert!(chunk.items.ordinals.is_sorted());
            let ordinals: Vec<u64> =
                seen(std::slice::from_ref(chunk)).iter().map(|s| s.0).collect();
            let span: Vec<u64> = (chunk.start.ordinal + 1..=chunk.end.ordinal).collect();
            assert_eq!(ordinals, span, "limit {limit}");
            assert!((1..=limit).contains(&ordinals.len()), "{} items", ordinals.len());
            before = chunk.end.clone();
        }
        assert_eq!(before.ordinal, count as u64);
    }
}

/// The same input gives the same items, however it is cut.
pub async fn any_cut_gives_the_same_items(make: &Make) {
    let expected = whole(make).await;
    for limit in [1, 2, 3, 7, expected.len(), expected.len() + 1] {
        assert_eq!(seen(&read(&mut *make(), limit).await), expected, "limit {limit}");
    }
}

/// B4: an input that is an exact multiple of the chunk gives no empty chunk.
pub async fn an_exact_multiple_gives_no_empty_chunk(make: &Make) {
    let count = whole(make).await.len();
    for limit in (1..=count).filter(|limit| count % limit == 0) {
        assert_eq!(read(&mut *make(), limit).await.len(), count / limit, "limit {limit}");
    }
}

/// Another source of the same input, at the end of any chunk, gives the rest.
pub async fn reading_goes_on_at_the_end_of_any_chunk(make: &Make) {
    let expected = whole(make).await;
    for limit in [1, 5] {
        for chunk in read(&mut *make(), limit).await {
            let mut source = make();
            source.seek(&chunk.end).await.unwrap();
            let rest = seen(&read(&mut *source, 3).await);
            assert_eq!(rest, expected[chunk.end.ordinal as usize..], "from {:?}", chunk.end);
        }
    }
}

/// A source that was read seeks to the start and gives everything again.
pub async fn a_used_source_goes_back_to_the_start(make: &Make) {
    let expected = whole(make).await;
    let mut source = make();
    source.next(&limits(5)).await.unwrap();
    source.seek(&Position::default()).await.unwrap();
    assert_eq!(seen(&read(&mut *source, 4).await), expected);
}

/// A place that is none of its own is told, not guessed.
pub async fn a_foreign_position_is_refused(make: &Make) {
    for place in ["nonsense", "-1", "18446744073709551616", "byte=;line="] {
        let position = Position { ordinal: 1, place: place.to_owned() };
        let fault = make().seek(&position).await.expect_err(place);
        assert_eq!(fault.kind(), Kind::Config, "{place}: {fault}");
    }
    // A place of its own, behind more items than can be.
    let mut source = make();
    let chunk = source.next(&limits(5)).await.unwrap().expect("a chunk");
    for ordinal in [Position::MOST + 1, u64::MAX - 1, u64::MAX] {
        let position = Position { ordinal, ..chunk.end.clone() };
        let fault = make().seek(&position).await.expect_err("an impossible ordinal");
        assert_eq!(fault.kind(), Kind::Config, "{ordinal}: {fault}");
    }
}

/// Equal input, equal fingerprint: in another source and after reading.
pub async fn the_fingerprint_stays_the_same(make: &Make) {
    let mut source = make();
    let before = source.fingerprint();
    assert!(!before.0.is_empty(), "a fingerprint has parts");
    assert_eq!(make().fingerprint(), before);
    read(&mut *source, 5).await;
    assert_eq!(source.fingerprint(), before);
}

/// Progress rises to the whole, where the whole is known.
pub async fn progress_never_falls_and_comes_to_the_end(make: &Make) {
    let mut source = make();
    let mut before = source.progress();
    while source.next(&limits(2)).await.unwrap().is_some() {
        let now = source.progress();
        assert!(now.done >= before.done, "{now:?} after {before:?}");
        assert_eq!(now.total, before.total);
        before = now;
    }
    if let Some(total) = source.progress().total {
        assert_eq!(source.progress().done, total);
    }
    assert!(before.done > 0);
}

/// An ordinal of another chunk has no line, and no record.
pub async fn origins_know_their_own_items_only(make: &Make) {
    let mut source = make();
    let chunks = read(&mut *source, 4).await;
    let second = &chunks[1];
    let origins = &second.items.origins;
    for ordinal in [0, second.start.ordinal, second.end.ordinal + 1, u64::MAX] {
        assert_eq!(origins.line(ordinal), None, "{ordinal}");
        assert_eq!(origins.origin(ordinal).raw, "", "{ordinal}");
    }
    for ordinal in second.start.ordinal + 1..=second.end.ordinal {
        let origin = origins.origin(ordinal);
        assert_eq!(origin.line, origins.line(ordinal));
        assert_eq!(origin.source, origins.source(ordinal));
        assert!(!origin.source.is_empty(), "{ordinal} comes from nowhere");
        assert!(!origin.raw.is_empty(), "{ordinal} has no record");
    }
}
