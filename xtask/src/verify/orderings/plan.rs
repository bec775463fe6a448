//! Which weakenings are tried, and by which models: the source's orderings matched with the
//! operations that ran.

use super::comment::{Claim, answer};
use super::scan::Token;
use crate::verify::site::Site;
use std::collections::BTreeMap;

/// A model that may be named: what it executed and how long it took.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) sites: Vec<Site>,
    pub(super) seconds: f64,
}

/// One ordering of one operation made weaker.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Weakening {
    /// `src/raw/table.rs:44:28/0=Acquire`, as the shim reads it.
    pub(super) order: String,
    /// `src/raw/table.rs:44`, for people.
    pub(super) at: String,
    /// `compare_exchange AcqRel -> Acquire`.
    pub(super) what: String,
    /// The models that execute the operation, the quickest first.
    pub(super) models: Vec<String>,
}

/// All that is to be done, and what is wrong before it begins.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) weakenings: Vec<Weakening>,
    /// Weakenings that no model can see.
    pub(super) invisible: usize,
    pub(super) errors: Vec<String>,
}

/// The names of all models that comments name.
pub(super) fn named(tokens: &[Token]) -> Vec<String> {
    let mut names = Vec::new();
    for token in tokens {
        for &(_, lost) in weaker(&token.ordering, "", token.nth) {
            if let Claim::Models(models) = answer(&token.comment, &token.ordering, lost) {
                names.extend(models);
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// Matches the orderings with what the models executed.
pub(super) fn plan(tokens: &[Token], known: &[Known]) -> Plan {
    let known: BTreeMap<_, _> = known.iter().map(|model| (model.name.as_str(), model)).collect();
    let mut plan = Plan::default();
    for token in tokens {
        let complain = |what: String| {
            format!("{}:{} {}: {what}", token.file, token.position.line, token.ordering)
        };
        let mut errors = Vec::new();
        for &(_, lost) in weaker(&token.ordering, "", token.nth) {
            match answer(&token.comment, &token.ordering, lost) {
                Claim::Missing(what) => errors.push(complain(what.into())),
                Claim::Invisible(_) => plan.invisible += 1,
                Claim::Models(models) => match weakening(token, lost, &models, &known) {
                    Ok(weakening) => plan.weakenings.push(weakening),
                    Err(what) => errors.push(complain(what)),
                },
            }
        }
        errors.dedup();
        plan.errors.extend(errors);
    }
    plan
}

/// The weakening of `token` by which it loses `lost`.
fn weakening(
    token: &Token,
    lost: &str,
    models: &[String],
    known: &BTreeMap<&str, &Known>,
) -> Result<Weakening, String> {
    let mut running = Vec::new();
    for name in models {
        let model = known
            .get(name.as_str())
            .ok_or_else(|| format!("there is no model `{name}` that holds"))?;
        if let Some(site) = model.sites.iter().filter(|site| is_called(token, site)).max() {
            running.push((*model, site));
        }
    }
    running.sort_by(|(a, _), (b, _)| a.seconds.total_cmp(&b.seconds));
    let Some((_, site)) = running.first() else {
        return Err(format!("no model that its comment names executes it: {}", models.join(", ")));
    };
    match site.orderings.get(token.nth) {
        Some(ordering) if *ordering == token.ordering => {}
        _ => {
            return Err(format!(
                "the models executed {} {}",
                site.operation,
                site.orderings.join(",")
            ));
        }
    }
    let mut weaker = weaker(&token.ordering, &site.operation, token.nth).iter();
    let (to, _) = weaker.find(|(_, loss)| *loss == lost).ok_or("it cannot be weakened")?;
    Ok(Weakening {
        order: format!("{}/{}={to}", site.place(), token.nth),
        at: format!("{}:{}", token.file, token.position.line),
        what: format!("{} {} -> {to}", site.operation, token.ordering),
        models: running.iter().map(|(model, _)| model.name.clone()).collect(),
    })
}

/// The site is the call that the token is an argument of.
fn is_called(token: &Token, site: &Site) -> bool {
    token.callee.is_some_and(|(start, end)| {
        site.file == token.file && (start..=end).contains(&site.position)
    })
}

/// One step weaker, among the orderings that the operation accepts, each with what is lost by it.
fn weaker(ordering: &str, operation: &str, nth: usize) -> &'static [(&'static str, &'static str)] {
    let only_loads = operation == "load" || nth > 0;
    match ordering {
        "SeqCst" if only_loads => &[("Acquire", "SeqCst")],
        "SeqCst" if operation == "store" => &[("Release", "SeqCst")],
        "SeqCst" => &[("AcqRel", "SeqCst")],
        "AcqRel" => &[("Acquire", "Release"), ("Release", "Acquire")],
        "Acquire" => &[("Relaxed", "Acquire")],
        _ => &[("Relaxed", "Release")],
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::scan;
    use super::*;

    fn known(name: &str, seconds: f64, sites: &[&str]) -> Known {
        let sites = sites.iter().map(|site| format!("site {site}").parse().unwrap()).collect();
        Known { name: name.into(), sites, seconds }
    }

    fn planned(statement: &str, known: &[Known]) -> Plan {
        let source =
            format!("fn f() {{\n    // ORDERING: x. Model: `a`, `b`.\n    {statement}\n}}");
        plan(&scan("src/x.rs", &source).unwrap(), known)
    }

    #[test]
    fn every_ordering_of_a_call_becomes_its_weaker_ones() {
        let site = "src/x.rs:3:7 compare_exchange AcqRel,Acquire";
        let models = [known("a", 2.0, &[site]), known("b", 1.0, &[site])];
        let plan =
            planned("x.compare_exchange(p, q, Ordering::AcqRel, Ordering::Acquire);", &models);
        let orders: Vec<_> =
            plan.weakenings.iter().map(|weakening| weakening.order.as_str()).collect();
        assert_eq!(
            orders,
            ["src/x.rs:3:7/0=Acquire", "src/x.rs:3:7/0=Release", "src/x.rs:3:7/1=Relaxed"],
            "{:?}",
            plan.errors
        );
        assert_eq!(plan.weakenings[0].models, ["b", "a"]);
        assert_eq!(plan.weakenings[0].what, "compare_exchange AcqRel -> Acquire");
    }

    #[test]
    fn a_model_that_never_executes_the_call_is_not_asked() {
        let models = [known("a", 2.0, &["src/x.rs:3:7 load Acquire"]), known("b", 1.0, &[])];
        let plan = planned("x.load(Ordering::Acquire);", &models);
        assert_eq!(plan.weakenings[0].models, ["a"]);
    }

    #[test]
    fn the_call_of_another_statement_is_not_taken_for_it() {
        let models = [known("a", 1.0, &["src/x.rs:2:7 load Acquire"]), known("b", 1.0, &[])];
        let plan = planned("x.load(Ordering::Acquire);", &models);
        assert!(
            plan.errors[0].contains("no model that its comment names executes it"),
            "{:?}",
            plan.errors
        );
        assert!(plan.weakenings.is_empty());
    }

    #[test]
    fn a_model_that_does_not_exist_and_a_stale_site_are_errors() {
        let alone = [known("a", 1.0, &["src/x.rs:3:7 load Acquire"])];
        assert!(planned("x.load(Ordering::Acquire);", &alone).errors[0].contains("no model `b`"));
        let stale = ["src/x.rs:3:7 load Relaxed"];
        let models = [known("a", 1.0, &stale), known("b", 1.0, &[])];
        assert!(
            planned("x.load(Ordering::Acquire);", &models).errors[0]
                .contains("executed load Relaxed")
        );
    }

    #[test]
    fn half_of_an_ordering_may_be_invisible() {
        let source = "fn f() {
            // ORDERING: Release: x. Model: `a`.
            // ORDERING: Acquire: y. Invisible: z.
            x.swap(p, Ordering::AcqRel);
        }";
        let models = [known("a", 1.0, &["src/x.rs:4:15 swap AcqRel"])];
        let plan = plan(&scan("src/x.rs", source).unwrap(), &models);
        assert_eq!(
            (plan.weakenings.len(), plan.invisible, plan.errors.len()),
            (1, 1, 0),
            "{:?}",
            plan.errors
        );
        assert_eq!(plan.weakenings[0].what, "swap AcqRel -> Acquire");
    }

    #[test]
    fn atomics_that_loom_does_not_track_need_a_reason() {
        let source = |claim: &str| {
            format!(
                "use crate::sync::untracked::{{AtomicU64, Ordering}};\n// ORDERING: x. {claim}\nfn f() {{ w.load(Ordering::Acquire); }}"
            )
        };
        let models = [known("a", 1.0, &[])];
        let named = plan(&scan("src/x.rs", &source("Model: `a`.")).unwrap(), &models);
        assert!(named.errors[0].contains("executes it"), "{:?}", named.errors);
        let reasoned = plan(&scan("src/x.rs", &source("Invisible: untracked.")).unwrap(), &models);
        assert_eq!((reasoned.errors.len(), reasoned.invisible), (0, 1));
        let silent = plan(&scan("src/x.rs", &source("")).unwrap(), &models);
        assert!(silent.errors[0].contains("neither"), "{:?}", silent.errors);
    }

    #[test]
    fn loads_and_stores_never_get_an_ordering_that_they_refuse() {
        let to = |ordering, operation, nth| weaker(ordering, operation, nth)[0].0;
        assert_eq!(to("SeqCst", "load", 0), "Acquire");
        assert_eq!(to("SeqCst", "store", 0), "Release");
        assert_eq!(to("SeqCst", "compare_exchange", 1), "Acquire");
        assert_eq!(to("SeqCst", "fence", 0), "AcqRel");
        assert_eq!(to("Release", "store", 0), "Relaxed");
    }
}
