//! A place in one of several files.

/// `file=2;first=100;byte=34;line=5`: the second file, before which 100 items
/// lie, and the place in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The file, counted from 0.
    pub(super) index: usize,
    /// Items before the file.
    pub(super) first: u64,
    /// The place in the file.
    pub(super) inside: String,
}

impl Place {
    pub(super) fn written(&self) -> String {
        format!("file={};first={};{}", self.index + 1, self.first, self.inside)
    }

    /// Reads what was written exactly so.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (file, rest) = text.strip_prefix("file=")?.split_once(";first=")?;
        let (first, inside) = rest.split_once(';')?;
        let index = file.parse::<usize>().ok()?.checked_sub(1)?;
        let place = Self { index, first: first.parse().ok()?, inside: inside.to_owned() };
        (place.written() == text).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let place = Place { index: 1, first: 100, inside: "byte=3;line=4".to_owned() };
        assert_eq!(Place::parse(&place.written()), Some(place));
        for text in ["", "file=0;first=0;", "file=1;first=0", "file=01;first=0;x", "byte=1;line=2"]
        {
            assert_eq!(Place::parse(text), None, "{text:?}");
        }
    }
}
