//! Several server processes that share sessions through a second tier, and clients that come to any
//! of them: what resumes with and without the tier, and what a tier that does not answer costs.

pub(crate) mod node;
mod picture;
mod relay;
mod report;
mod tier;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use rand::RngExt;
use serde::Serialize;

use crate::backend::{Identity, Kind};
use crate::crew::{Crew, Until};
use crate::driver::{Load, progress};
use crate::figures::{Figures, LONGEST_NANOSECONDS, Timing};
use crate::report::Run;
use crate::server::Tls;

use self::node::{Node, Plan, TierFigures, TierPlan};
pub(crate) use self::picture::draw;
pub(crate) use self::report::{announcement, json, table};
pub(crate) use self::tier::TierServer;
use self::tier::Way;

/// How often each setting has its turn in a run.
const TURNS: u64 = 8;

/// Who serves.
pub(crate) struct Fleet {
    pub(crate) nodes: usize,
    pub(crate) tier: Option<TierServer>,
    /// How long a handshake waits for the tier at most.
    pub(crate) budget_ms: u64,
}

/// What stands behind the load balancer in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Setting {
    /// One node without a tier: what the others are compared with.
    OneNode,
    NoTier,
    Tier,
    /// A tier that was reached once, and answers nothing from the first handshake on.
    TierPaused,
}

impl Setting {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OneNode => "one node",
            Self::NoTier => "no tier",
            Self::Tier => "tier",
            Self::TierPaused => "tier paused",
        }
    }
}

impl Fleet {
    pub(crate) fn settings(&self) -> &'static [Setting] {
        match self.tier {
            Some(_) => &[Setting::OneNode, Setting::NoTier, Setting::Tier, Setting::TierPaused],
            None => &[Setting::OneNode, Setting::NoTier],
        }
    }
}

/// The figures of one run.
#[derive(Serialize)]
pub(crate) struct FleetRun {
    pub(crate) setting: Setting,
    pub(crate) nodes: usize,
    /// Handshakes of clients that came to another node than the time before.
    pub(crate) elsewhere: u64,
    pub(crate) resumed_elsewhere: u64,
    /// What the nodes' tiers counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tier_figures: Option<TierFigures>,
    #[serde(flatten)]
    pub(crate) run: Run,
}

/// One run for each version and setting. The settings take turns, so that whatever else the
/// machine does meanwhile touches all of them. Ctrl-C ends the turn at hand and leaves the others
/// out.
pub(crate) async fn measure(load: &Load, fleet: &Fleet, versions: &[Tls]) -> Result<Vec<FleetRun>> {
    let mut runs = Vec::new();
    for &tls in versions {
        let trial = Stand::start(load, fleet, Setting::OneNode, tls).await?;
        let mut trial = trial.context("one node needs no tier")?;
        trial.crew.work(Until::Trial, &ProgressBar::hidden()).await?;
        let each = trial.finish(fleet)?.run.handshakes_each(load)?;
        let mut stands = Vec::new();
        for &setting in fleet.settings() {
            stands.extend(Stand::start(load, fleet, setting, tls).await?);
        }
        let progress = progress("all", tls, each * stands.len() as u64);
        for turn in 1..=TURNS {
            for stand in &mut stands {
                stand.crew.work(Until::Handshakes(each * turn / TURNS), &progress).await?;
            }
        }
        progress.finish_and_clear();
        for stand in stands {
            runs.extend(Some(stand.finish(fleet)?).filter(|one| one.run.handshakes > 0));
        }
    }
    Ok(runs)
}

/// The nodes of a setting, and the clients that come to them.
struct Stand {
    setting: Setting,
    nodes: Vec<Node>,
    crew: Crew,
    /// Keeps the tier of this setting paused.
    _way: Option<Way>,
    /// What the names in the tier begin with.
    prefix: Option<String>,
}

impl Stand {
    /// `None` for a pause of a server that cannot be paused.
    async fn start(load: &Load, fleet: &Fleet, setting: Setting, tls: Tls) -> Result<Option<Self>> {
        let way = match (&fleet.tier, setting) {
            (Some(tier), Setting::Tier) => Some(tier.way()),
            (Some(tier), Setting::TierPaused) => match tier.way_to_pause().await? {
                Some(way) => Some(way),
                None => return Ok(None),
            },
            _ => None,
        };
        let identity = Identity::new()?;
        let count = if setting == Setting::OneNode { 1 } else { fleet.nodes };
        let plan = plan(load, fleet, tls, &identity, way.as_ref());
        let start = |_| tokio::task::block_in_place(|| Node::start(&plan));
        let nodes: Vec<_> = (0..count).map(start).collect::<Result<_>>()?;
        if let Some(way) = way.as_ref().filter(|_| setting == Setting::TierPaused) {
            way.pause()?;
        }
        let servers: Vec<_> = nodes.iter().map(|node| node.address).collect();
        let crew = Crew::new(load, tls, &servers, &identity.certificate)?;
        let prefix = plan.tier.map(|tier| tier.prefix);
        Ok(Some(Self { setting, nodes, crew, _way: way, prefix }))
    }

    /// Ends the nodes, and clears away what they left in the tier.
    fn finish(mut self, fleet: &Fleet) -> Result<FleetRun> {
        let sum = Sum::of(&mut self.nodes)?;
        let nodes = self.nodes.len();
        drop(self.nodes);
        if let (Some(server), Some(prefix)) = (&fleet.tier, &self.prefix) {
            tokio::task::block_in_place(|| server.forget(prefix))?;
        }
        let tally = &self.crew.tally;
        let timing = Timing::of(&sum.calls, sum.total_nanoseconds, tally.handshakes());
        Ok(FleetRun {
            setting: self.setting,
            nodes,
            elsewhere: tally.elsewhere,
            resumed_elsewhere: tally.resumed_elsewhere,
            tier_figures: sum.tier,
            run: self.crew.into_run(Kind::Sessile, sum.figures, timing),
        })
    }
}

fn plan(load: &Load, fleet: &Fleet, tls: Tls, identity: &Identity, way: Option<&Way>) -> Plan {
    let tier = way.map(|way| TierPlan {
        address: way.url.clone(),
        // Of this run alone: a server that is not ours may have other users.
        prefix: format!("handshakes-{:016x}:", rand::rng().random::<u64>()),
        sealing_key: rand::rng().random(),
        budget_ms: fleet.budget_ms,
    });
    Plan {
        certificate: identity.certificate.to_vec(),
        key: identity.key.clone(),
        tls,
        capacity: load.capacity,
        is_full: load.is_full,
        tier,
    }
}

/// What all nodes report.
struct Sum {
    figures: Figures,
    calls: Histogram<u64>,
    total_nanoseconds: u64,
    tier: Option<TierFigures>,
}

impl Sum {
    fn of(nodes: &mut [Node]) -> Result<Self> {
        let calls = Histogram::new_with_bounds(1, LONGEST_NANOSECONDS, 3)?;
        let mut sum = Self { figures: Figures::default(), calls, total_nanoseconds: 0, tier: None };
        for node in nodes {
            let report = node.report()?;
            sum.figures += report.figures;
            sum.total_nanoseconds += report.total_nanoseconds;
            for (value, count) in report.calls {
                sum.calls.saturating_record_n(value, count);
            }
            let both = sum.tier.zip(report.tier).map(|(one, other)| one.and(other));
            sum.tier = both.or(report.tier);
        }
        Ok(sum)
    }
}
