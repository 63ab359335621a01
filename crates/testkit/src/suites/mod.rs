//! The obligations of each contract, as tests.
//!
//! A suite is a file of cases, each a function of a fresh thing under test; a
//! macro makes a `#[tokio::test]` of each, so that a failure has a name.

pub mod catalog;
pub mod ledger;
pub mod modes;
pub mod redrive;
pub mod rules;
pub mod sink;
pub mod source;
pub mod statements;
pub mod table;
pub mod table_ranges;

/// One test for each case of a suite.
#[doc(hidden)]
#[macro_export]
macro_rules! cases {
    ($suite:ident, $make:path: $($case:ident)+) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::suites::$suite::$case(&*$make().await).await;
        }
    )+ };
}

/// The tests of a [`Source`](kiln_core::Source), for an async function that
/// gives a boxed `suites::source::Make`: the way to open the same source again and again.
/// It must hold 12 items or more.
#[macro_export]
macro_rules! source_suite {
    ($make:path) => {
        $crate::cases! { source, $make:
            chunks_follow_each_other_and_none_is_empty
            any_cut_gives_the_same_items
            an_exact_multiple_gives_no_empty_chunk
            reading_goes_on_at_the_end_of_any_chunk
            a_used_source_goes_back_to_the_start
            a_foreign_position_is_refused
            the_fingerprint_stays_the_same
            progress_never_falls_and_comes_to_the_end
            origins_know_their_own_items_only
        }
    };
}

/// The tests of tables as sources, for an async function that gives a fresh
/// `Box<dyn suites::table::TestTables>`.
#[macro_export]
macro_rules! table_suite {
    ($fresh:path) => {
        $crate::cases! { table, $fresh:
            rows_come_once_in_the_order_of_their_key
            changes_behind_the_key_change_nothing
            reading_goes_on_behind_a_row_that_is_gone
            any_text_is_a_key
            columns_and_rows_are_chosen
            another_key_is_taken
            what_has_no_key_is_refused
            a_snapshot_sees_one_moment
            large_rows_make_small_chunks
            the_fingerprint_is_of_the_table_not_its_rows
            an_item_knows_its_row
            changes_come_in_the_order_of_the_watermark
            what_is_new_begins_behind_what_was_read
            only_a_watermark_begins_behind_a_place
        }
        $crate::cases! { table_ranges, $fresh:
            each_row_comes_once_in_one_order
            numbers_are_cut_by_their_size
            few_rows_are_no_trouble
            any_text_is_in_one_range
            ranges_are_of_the_rows_that_are_chosen
            rows_come_and_go
            the_start_keeps_the_order
            a_run_goes_on_as_it_began
            large_rows_make_small_chunks_in_ranges
            what_is_new_begins_behind_the_last_range
            foreign_ranges_are_refused
        }
    };
}

/// The tests of a [`Sink`](kiln_core::Sink) and its lanes, for an async
/// function that gives a fresh `Box<dyn TestTarget>`.
#[macro_export]
macro_rules! sink_suite {
    ($fresh:path) => {
        $crate::cases! { sink, $fresh:
            a_new_lane_is_at_the_start
            a_unit_commits_with_its_mark_counts_and_dead_letters
            a_unit_without_rows_moves_the_mark
            a_state_alone_is_kept
            a_step_keeps_its_end_once_and_beside_its_lanes
            units_follow_each_other
            dead_letters_come_back_as_they_were
            dead_letters_are_read_page_by_page
            a_refused_unit_leaves_nothing_and_the_lane_goes_on
            a_refused_second_write_takes_the_first_with_it
            a_refused_unit_can_be_split
            a_named_item_is_the_bad_one
            a_unit_in_the_middle_of_a_chunk_keeps_where_it_began
            a_unit_ahead_of_the_mark_does_not_commit
            a_unit_is_never_committed_twice
            units_behind_a_refused_one_do_not_commit
            a_taken_lane_commits_nothing_more
            a_taken_lane_is_fenced_before_its_items_are_judged
            an_older_epoch_can_not_open
            a_run_taken_over_gets_no_new_lane
            an_opened_lane_tells_the_true_mark
            lanes_and_steps_and_runs_have_marks_of_their_own
            nothing_submitted_is_unknown
            diagnosis_names_all_bad_items_and_changes_nothing
            checks_write_nothing
        }
        $crate::cases! { rules, $fresh:
            broken_rules_are_counted_with_their_unit
        }
        $crate::cases! { redrive, $fresh:
            letters_are_redriven_with_their_unit
            a_letter_is_redriven_once
        }
    };
}

/// The tests of [`Mode::Increment`](kiln_core::Mode::Increment), for an async
/// function that gives a fresh `Box<dyn TestTarget>`.
#[macro_export]
macro_rules! increment_suite {
    ($fresh:path) => {
        $crate::cases! { sink,  $fresh:
            sums_are_exact_over_units_and_within_one
            a_refused_unit_adds_nothing
            split_units_add_the_same
        }
    };
}

/// The tests of the modes that find rows by a key, for an async function that
/// gives a fresh `Box<dyn TestTarget>` with the tables of
/// [`stock`](crate::stock) in it.
#[macro_export]
macro_rules! modes_suite {
    ($fresh:path) => {
        $crate::cases! { modes, $fresh:
            ignored_rows_stay_and_are_counted
            a_duplicate_adds_nothing
            any_cut_finds_the_same_duplicates
            a_known_row_is_no_known_item
            an_upsert_makes_and_changes
            the_last_row_of_a_key_stays_in_any_cut
            the_first_row_of_a_key_stays
            the_rows_of_a_key_are_summed
            repeated_keys_are_rejected
            an_update_changes_what_is_there
            a_delete_removes_what_is_there
            a_null_in_a_key_is_refused
            writes_follow_each_other
            a_refused_unit_changes_nothing_in_any_mode
            many_rows_are_found
            checks_pass_in_every_mode
        }
    };
}

/// The tests of a [`Sink`](kiln_core::Sink) that runs statements of SQL, for an
/// async function that gives a fresh `Box<dyn TestTarget>`.
#[macro_export]
macro_rules! statements_suite {
    ($fresh:path) => {
        $crate::cases! { statements, $fresh:
            a_statement_commits_with_its_mark
            a_statement_may_give_rows
            a_failed_statement_leaves_nothing
            several_statements_are_refused
            a_statement_is_never_run_twice
            a_statement_is_looked_at_and_not_run
        }
    };
}

/// The tests of a [`Ledger`](kiln_core::Ledger), for an async function that
/// gives a fresh `Box<dyn TestTarget>`.
#[macro_export]
macro_rules! ledger_suite {
    ($fresh:path) => {
        $crate::cases! { ledger, $fresh:
            preparing_twice_and_at_once_changes_nothing
            a_run_comes_back_as_it_was_created
            one_run_of_a_job_and_its_parameters_is_open
            a_run_is_made_behind_the_newest_that_was_seen
            of_creations_at_once_one_wins
            the_newest_is_the_last_one_created
            a_leased_run_is_not_claimed_unless_told
            a_claim_must_know_the_epoch
            of_claims_at_once_one_wins
            a_lease_runs_out_and_a_heartbeat_prolongs_it
            a_former_owner_is_fenced
            a_run_ends_once
            a_run_ends_in_no_other_state
            stopped_and_failed_runs_are_claimed_again
            completed_and_abandoned_runs_are_closed
            abandoning_fences_the_lanes
            abandoning_needs_the_epoch
            runs_are_listed_newest_first
            a_run_is_found_by_its_name_or_a_beginning_of_it
            counts_are_the_sum_of_the_marks
            nothing_is_known_of_an_unknown_run
        }
    };
}

/// The tests of a [`Catalog`](kiln_core::Catalog), for an async function that
/// gives a fresh `Box<dyn TestTarget>`.
#[macro_export]
macro_rules! catalog_suite {
    ($fresh:path) => {
        $crate::cases! { catalog, $fresh:
            an_empty_catalog_has_no_rows
            what_is_created_is_found_again
            without_columns_to_create_rows_are_only_found
            what_is_compared_is_loaded
            its_size_is_known
            in_order_a_refused_row_is_the_last
            a_row_that_is_there_stays_as_it_is
            the_same_row_twice_is_one
            a_refused_row_is_alone
            creations_at_once_agree
            odd_text_comes_back_as_it_was
            the_key_is_an_integer
            an_unknown_table_or_column_is_told
        }
    };
}
