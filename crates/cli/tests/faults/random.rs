//! Numbers that look random and come again from the same seed.

use std::time::Duration;

/// splitmix64.
pub(crate) struct Random(u64);

impl Random {
    /// The seed is told, and taken from `KILN_SEED` where that is set.
    pub(crate) fn seeded(what: &str) -> Self {
        let given = std::env::var("KILN_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
        println!("{what}: KILN_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// A moment before `limit`.
    pub(crate) fn before(&mut self, limit: Duration) -> Duration {
        limit.mul_f64((self.next() >> 11) as f64 / (1u64 << 53) as f64)
    }
}
