//! SQL expressions over items: the only room that knows DataFusion
