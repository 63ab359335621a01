//! How deep SQL may be nested.
//!
//! Parsing, planning and evaluating walk the tree of an expression by
//! recursion, so that `a + a + a + …` long enough would end the process. How
//! deep the tree becomes is seen from the tokens, before there is a tree.

use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::Token;
use kiln_core::{Fault, Result};

/// The deepest expression. Twice that evaluates in the 2 MiB of a worker's
/// stack, without optimisation.
const DEEPEST: usize = 300;

/// Room for planning an expression as deep as that.
const STACK_BYTES: usize = 64 << 20;

/// Refuses tokens that make too deep a tree.
pub(crate) fn check<'a>(tokens: impl Iterator<Item = &'a Token>) -> Result<()> {
    if depth(tokens) <= DEEPEST {
        return Ok(());
    }
    Err(Fault::config("it is nested too deeply, or too many operators follow each other")
        .with_hint("write IN (…) for a long row of OR, and CASE for long choices"))
}

/// At least the depth of the tree: the operators of each stretch that is open,
/// summed over all levels.
fn depth<'a>(tokens: impl Iterator<Item = &'a Token>) -> usize {
    use Keyword as K;
    let mut open = vec![0];
    let mut total: usize = 0;
    let mut deepest = 0;
    for token in tokens {
        let top = open.len() - 1;
        match token {
            Token::Whitespace(_) | Token::Number(..) | Token::SingleQuotedString(_) => {}
            Token::LParen | Token::LBracket => open.push(0),
            Token::RParen | Token::RBracket => close(&mut open, &mut total),
            Token::Comma => total -= std::mem::take(&mut open[top]),
            Token::Word(word) => match word.keyword {
                K::NoKeyword => {}
                K::CASE => open.push(0),
                K::END => close(&mut open, &mut total),
                K::WHEN | K::THEN | K::ELSE => total -= std::mem::take(&mut open[top]),
                K::SELECT | K::FROM | K::WHERE | K::JOIN | K::ON | K::HAVING | K::BY => {
                    total -= std::mem::take(&mut open[top]);
                }
                _ => {
                    open[top] += 1;
                    total += 1;
                }
            },
            _ => {
                open[top] += 1;
                total += 1;
            }
        }
        deepest = deepest.max(total + open.len());
    }
    deepest
}

fn close(open: &mut Vec<usize>, total: &mut usize) {
    if open.len() > 1 {
        *total -= open.pop().unwrap_or(0);
    }
}

/// Runs something with room for the deepest expression.
pub(crate) fn with_room<T: Send>(plan: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, plan);
        let thread = thread.map_err(|e| Fault::io("a thread to plan SQL", e))?;
        thread.join().map_err(|_| Fault::bug("planning the SQL failed unexpectedly"))?
    })
}

#[cfg(test)]
mod tests {
    use datafusion_sql::sqlparser::dialect::GenericDialect;
    use datafusion_sql::sqlparser::tokenizer::Tokenizer;

    #[test]
    fn depth_follows_the_tree_not_the_length() {
        let depth = |sql: &str| {
            let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap();
            super::depth(tokens.iter())
        };
        assert_eq!(depth("a"), 1);
        assert_eq!(depth("a + b + c"), 3);
        assert_eq!(depth("f(a, b, c, d)"), depth("f(a)"));
        assert_eq!(depth("(a + b), (a + b), (a + b)"), depth("(a + b)"));
        assert_eq!(depth("CASE WHEN a = 1 THEN b WHEN a = 2 THEN b END"), 3);
        assert_eq!(depth("CASE WHEN a THEN b END + c + d"), 3);
        assert_eq!(depth("(a + (b + (c + d)))"), 7);
        assert_eq!(depth(")) END END a + b"), 2);
    }
}
