//! From text to a syntax tree: one SELECT, or one expression.

use datafusion_sql::sqlparser::ast::{Expr, Statement};
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Token, Tokenizer};
use kiln_core::{Fault, Result};

use crate::depth;
use crate::dialect::Items;
use crate::explain::{place, syntax};
use crate::refuse::{self, Select};

const DIALECT: Items = Items;

/// Reads one SELECT over `item`.
pub(crate) fn select(sql: &str) -> Result<Select> {
    refuse::statement(statement(
        sql,
        "write a SELECT over the table item, such as: SELECT * FROM item",
    )?)
}

/// Reads one statement; the hint is for who wrote none.
pub(crate) fn statement(sql: &str, hint: &str) -> Result<Statement> {
    let statements = parser(sql)?.parse_statements().map_err(syntax)?;
    match <[Statement; 1]>::try_from(statements) {
        Ok([statement]) => Ok(statement),
        Err(none) if none.is_empty() => Err(Fault::config("there is no SQL").with_hint(hint)),
        Err(several) => Err(Fault::config(format!("there are {} statements", several.len()))
            .with_hint("write one SELECT; what else is to be done belongs in a step of its own")),
    }
}

/// Reads one expression over the columns of an item.
pub(crate) fn expression(sql: &str) -> Result<Expr> {
    let mut parser = parser(sql)?;
    if parser.peek_token().token == Token::EOF {
        return Err(Fault::config("there is no expression"));
    }
    let expression = parser.parse_expr().map_err(syntax)?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let at = place(rest.span.start);
        return Err(Fault::config(format!("{at}the expression should end before {}", rest.token)));
    }
    refuse::expression(&expression)?;
    Ok(expression)
}

fn parser(sql: &str) -> Result<Parser<'static>> {
    let tokens = Tokenizer::new(&DIALECT, sql).tokenize_with_location();
    let tokens = tokens.map_err(|e| syntax(ParserError::from(e)))?;
    depth::check(tokens.iter().map(|t| &t.token))?;
    Ok(Parser::new(&DIALECT).with_tokens_with_locations(tokens))
}
