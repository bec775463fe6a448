//! Trying the weakenings: each is caught by the first of its models that fails.

use super::plan::Weakening;
use crate::command::root;
use crate::verify::context::PartContext;
use crate::verify::judge::{Judgement, judge};
use crate::verify::libtest::Test;
use crate::verify::report::WeakeningFigures;
use crate::verify::workers;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A model, and how long it may run: a weakened search is often longer than the sound one, which it
/// never leaves early.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) test: Test,
    pub(super) limit: Duration,
}

/// What became of one weakening.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    Caught {
        model: String,
    },
    /// Every model passed.
    Survived,
    /// No model failed and some search did not end.
    Inconclusive(String),
}

/// Tries all weakenings and returns them in order, each with its verdict and figures.
pub(super) fn run(
    context: &PartContext,
    weakenings: Vec<Weakening>,
    runners: &BTreeMap<String, Runner>,
) -> Result<Vec<(Weakening, Verdict, WeakeningFigures)>> {
    context.progress.expect(weakenings.len());
    workers::each(workers::cores(), weakenings, |_, weakening| {
        let start = Instant::now();
        let verdict = first_failure(&weakening.models, |name| {
            let runner =
                runners.get(name).with_context(|| format!("there is no model `{name}`"))?;
            let order = [("SESSILE_WEAKEN", weakening.order.as_str())];
            let ended =
                runner.test.run(&root().join("loom-tests"), &order, runner.limit, &context.log)?;
            Ok(judge(&ended))
        })?;
        let (caught_by, shown) = match &verdict {
            Verdict::Caught { model } => (Some(model.clone()), format!("caught by {model}")),
            Verdict::Survived => (None, "SURVIVED".into()),
            Verdict::Inconclusive(why) => (None, format!("INCONCLUSIVE: {why}")),
        };
        let seconds = start.elapsed().as_secs_f64();
        let line = format!("{} {}: {shown}, {seconds:.1} s", weakening.at, weakening.what);
        context.log.add(&format!("= {line} ({})\n", weakening.order))?;
        context.progress.step(&line);
        let (at, what) = (weakening.at.clone(), weakening.what.clone());
        Ok((weakening, verdict, WeakeningFigures { at, weakening: what, caught_by, seconds }))
    })
}

/// Runs the models in turn until one fails.
fn first_failure(
    models: &[String],
    mut run: impl FnMut(&str) -> Result<Judgement>,
) -> Result<Verdict> {
    let mut unknown = Vec::new();
    for model in models {
        match run(model)? {
            Judgement::Failed(_) => return Ok(Verdict::Caught { model: model.clone() }),
            Judgement::Held => {}
            Judgement::Hung(why) | Judgement::Inconclusive(why) => {
                unknown.push(format!("{model}: {why}"))
            }
        }
    }
    Ok(if unknown.is_empty() {
        Verdict::Survived
    } else {
        Verdict::Inconclusive(unknown.join("; "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(judgements: &[(&str, Judgement)]) -> Verdict {
        let models: Vec<_> = judgements.iter().map(|(model, _)| (*model).to_owned()).collect();
        let find =
            |name: &str| judgements.iter().find(|(model, _)| *model == name).unwrap().1.clone();
        first_failure(&models, |name| Ok(find(name))).unwrap()
    }

    #[test]
    fn only_a_failed_model_catches() {
        let (held, failed) = (Judgement::Held, Judgement::Failed("race".into()));
        let hung = Judgement::Hung("cut off".into());
        assert_eq!(
            verdict(&[("a", held.clone()), ("b", failed.clone())]),
            Verdict::Caught { model: "b".into() }
        );
        assert_eq!(
            verdict(&[("a", hung.clone()), ("b", failed)]),
            Verdict::Caught { model: "b".into() }
        );
        assert_eq!(verdict(&[("a", held.clone()), ("b", held.clone())]), Verdict::Survived);
        assert!(matches!(verdict(&[("a", hung), ("b", held)]), Verdict::Inconclusive(_)));
    }
}
