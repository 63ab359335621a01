//! The SQL that is understood.

use std::any::TypeId;

use datafusion_sql::sqlparser::dialect::{Dialect, GenericDialect, Precedence};

/// What the parser's generic dialect reads, but for three things: `->` and `->>`
/// bind tighter than arithmetic and comparison, as in SQLite; and there are no
/// texts in `q'[…]'` and `U&'…'`, so that a quote is always a quote.
#[derive(Debug)]
pub(crate) struct Items;

macro_rules! as_generic {
    ($($name:ident)+) => { $( fn $name(&self) -> bool { GenericDialect.$name() } )+ };
}

impl Dialect for Items {
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, c: char) -> bool {
        GenericDialect.is_delimited_identifier_start(c)
    }

    fn is_identifier_start(&self, c: char) -> bool {
        GenericDialect.is_identifier_start(c)
    }

    fn is_identifier_part(&self, c: char) -> bool {
        GenericDialect.is_identifier_part(c)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        match precedence {
            Precedence::PgOther => GenericDialect.prec_value(Precedence::AtTz) + 1,
            other => GenericDialect.prec_value(other),
        }
    }

    as_generic! {
        allow_extract_custom
        allow_extract_single_quotes
        support_map_literal_syntax
        supports_bitwise_shift_operators
        supports_comma_separated_trim
        supports_connect_by
        supports_dictionary_syntax
        supports_extract_comma_syntax
        supports_filter_during_aggregation
        supports_from_first_select
        supports_group_by_expr
        supports_group_by_with_modifier
        supports_interval_options
        supports_limit_by
        supports_limit_comma
        supports_match_recognize
        supports_named_fn_args_with_assignment_operator
        supports_nested_comments
        supports_parens_around_table_factor
        supports_partition_by_after_order_by
        supports_pipe_operator
        supports_prewhere
        supports_projection_trailing_commas
        supports_select_item_multi_column_alias
        supports_select_wildcard_except
        supports_select_wildcard_exclude
        supports_select_wildcard_ilike
        supports_select_wildcard_rename
        supports_select_wildcard_replace
        supports_string_escape_constant
        supports_struct_literal
        supports_try_convert
        supports_values_as_table_factor
        supports_window_clause_named_window_reference
        supports_window_function_null_treatment_arg
    }
}
