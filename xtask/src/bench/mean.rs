//! Statistics of pairs: ratios are averaged as logarithms, so that twice and half cancel.

use std::fmt;

/// Two-sided 95 % quantiles of Student's t by degrees of freedom, 1 to 30; 1.96 and a little more beyond.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
const T_BEYOND: f64 = 2.0;

/// A mean ratio and the ends of its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    pub ratio: f64,
    pub from: f64,
    pub to: f64,
}

impl Mean {
    /// Of logarithms of ratios.
    pub fn of(logarithms: &[f64]) -> Mean {
        let count = logarithms.len() as f64;
        let mean = logarithms.iter().sum::<f64>() / count;
        let variance = logarithms.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let t = logarithms
            .len()
            .checked_sub(2)
            .map_or(f64::INFINITY, |freedom| T.get(freedom).copied().unwrap_or(T_BEYOND));
        let half = t * (variance / count).sqrt();
        Mean {
            ratio: mean.exp(),
            from: (mean - half).exp(),
            to: (mean + half).exp(),
        }
    }

    /// Half the interval's width.
    pub fn half_width(self) -> f64 {
        (self.to - self.from) / 2.0
    }
}

impl fmt::Display for Mean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8.4} ± {:<8.4}", self.ratio, self.half_width())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_and_half_cancel() {
        let mean = Mean::of(&[2.0_f64.ln(), 0.5_f64.ln()]);
        assert!((mean.ratio - 1.0).abs() < 1e-12);
        assert!(mean.half_width() > 1000.0);
        let same = Mean::of(&[0.1; 5]);
        assert!(same.half_width() < 1e-12 && (same.ratio - 0.1_f64.exp()).abs() < 1e-12);
    }
}
