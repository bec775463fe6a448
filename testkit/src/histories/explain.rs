//! What to show when no order explains a history: the shortest part of it that cannot be explained.
//!
//! A prefix of an explicable history is explicable, so the part ends with the first return whose
//! prefix is not. Calls under way at that moment are pending in it. An observation that can be left
//! out without making sense of the rest is left out.

use super::history::{Event, History};
use super::rules;
use super::split::{KeyHistory, split};
use crate::linearizability::{Effect, PENDING, Step, is_linearizable};
use std::fmt;

/// Something that must not have been seen.
#[derive(Debug)]
pub enum Violation {
    /// No order of one key's steps explains them.
    #[allow(missing_docs, reason = "shown, not read")]
    Order { key: u8, steps: Vec<String> },
    /// An answer that nothing can justify.
    #[allow(missing_docs, reason = "shown, not read")]
    Rule { rule: String, event: Option<Box<Event>> },
}

impl Violation {
    pub(super) fn rule(rule: &str) -> Self {
        Self::Rule { rule: rule.to_owned(), event: None }
    }

    /// Names the call during which it was seen.
    pub(super) fn with(self, event: &Event) -> Self {
        match self {
            Self::Rule { rule, .. } => Self::Rule { rule, event: Some(Box::new(event.clone())) },
            order @ Self::Order { .. } => order,
        }
    }

    /// Whether it was found by the search for an order.
    pub fn is_of_order(&self) -> bool {
        matches!(self, Self::Order { .. })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order { key, steps } => {
                writeln!(f, "no order explains what was seen of key {key}:")?;
                steps.iter().try_for_each(|step| writeln!(f, "  {step}"))
            }
            Self::Rule { rule, event: None } => writeln!(f, "{rule}"),
            Self::Rule { rule, event: Some(event) } => writeln!(f, "{rule}:\n  {event:?}"),
        }
    }
}

/// Checks a history: its rules, then the order of each key. Stamps of two threads tell an order
/// only where they are more than `margin` apart.
///
/// # Errors
/// What must not have been seen.
pub fn verify(history: &History, margin: u64) -> Result<(), Violation> {
    rules::check(history, margin)?;
    for part in split(history)? {
        if !is_linearizable(part.initial, &part.steps, margin) {
            let steps = shortest(&part, margin);
            return Err(Violation::Order {
                key: part.key,
                steps: describe(&part, &steps, history),
            });
        }
    }
    Ok(())
}

/// The shortest inexplicable prefix, without the observations that do not matter.
fn shortest(part: &KeyHistory, margin: u64) -> Vec<Step> {
    let fails = |steps: &[Step]| !is_linearizable(part.initial, steps, margin);
    let mut ends: Vec<_> = part.steps.iter().map(|step| step.returned).collect();
    ends.sort_unstable();
    let prefixes = ends.into_iter().map(|end| prefix(&part.steps, end));
    let mut steps =
        prefixes.into_iter().find(|steps| fails(steps)).unwrap_or_else(|| part.steps.clone());
    let mut nth = 0;
    while nth < steps.len() {
        let mut fewer = steps.clone();
        let removed = fewer.remove(nth);
        if matches!(removed.effect, Effect::Observe { .. }) && fails(&fewer) {
            steps = fewer;
        } else {
            nth += 1;
        }
    }
    steps.sort_unstable_by_key(|step| step.invoked);
    steps
}

/// What had begun by `end`; what had not returned is pending.
fn prefix(steps: &[Step], end: u64) -> Vec<Step> {
    let begun = steps.iter().filter(|step| step.invoked <= end);
    begun
        .map(|step| if step.returned <= end { *step } else { Step { returned: PENDING, ..*step } })
        .collect()
}

fn describe(part: &KeyHistory, steps: &[Step], history: &History) -> Vec<String> {
    let start = steps.first().map_or(0, |step| step.invoked);
    let initial = part.initial.map_or("nothing".to_owned(), |object| part.name(object));
    let mut lines = vec![format!("at first {initial} is stored")];
    lines.extend(steps.iter().map(|step| line(part, step, start, history)));
    lines
}

fn line(part: &KeyHistory, step: &Step, start: u64, history: &History) -> String {
    let Some(event) = history.logs.get(step.thread).and_then(|log| log.events.get(step.place))
    else {
        return format!("at rest                        {}", effect(part, step.effect));
    };
    let micros = |stamp: u64| stamp.saturating_sub(start) as f64 / 1000.0;
    let end = if step.returned == PENDING {
        "   pending".into()
    } else {
        format!("{:10.3}", micros(step.returned))
    };
    format!(
        "thread {} {:10.3} to {end} µs  {}  (during {:?})",
        step.thread,
        micros(step.invoked),
        effect(part, step.effect),
        event.call
    )
}

fn effect(part: &KeyHistory, effect: Effect) -> String {
    let name = |object: Option<u8>| object.map_or("nothing".to_owned(), |object| part.name(object));
    match effect {
        Effect::Change { from, to } => format!("{} -> {}", name(from), name(to)),
        Effect::Observe { absent, objects } => {
            let those = (0..part.objects() as u8).filter(|object| objects & (1 << object) != 0);
            let names: Vec<_> = absent
                .then(|| "nothing".to_owned())
                .into_iter()
                .chain(those.map(|one| part.name(one)))
                .collect();
            format!("sees {}", names.join(" or "))
        }
    }
}
