//! The combinations, and what may happen in each.

use openssl::ssl::SslVersion;

/// One of the two contexts, which demand a certificate or do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    A,
    B,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// How a connection that came to one context changes to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    None,
    ClientHello,
    ServerName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    Full,
    Resumed,
    /// With early data, which a recording sends again.
    Early,
}

/// Where the session was made that the visit offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// At the listener of the visit, in its own context.
    Outer,
    /// At the other context's listener.
    Inner,
    /// At the listener of the visit, under the name that switches.
    Switched,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attached {
    OuterFirst,
    InnerFirst,
    /// From a handle of the opposite kind, and then from the right one.
    Twice,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Combination {
    /// The context that the visit comes to.
    pub(crate) initial: Side,
    pub(crate) switch: Switch,
    /// Whether A, and B, demand a certificate.
    pub(crate) demands: [bool; 2],
    pub(crate) version: SslVersion,
    pub(crate) visit: Visit,
    /// Whether the visit asks for the name that switches.
    pub(crate) asks_for_switch: bool,
    /// Whether the visitor has a certificate.
    pub(crate) has_certificate: bool,
    pub(crate) made: Made,
    /// Whether whoever made the session had a certificate.
    pub(crate) made_with_certificate: bool,
    pub(crate) attached: Attached,
    pub(crate) is_reusable: bool,
    pub(crate) has_tier: bool,
}

const SWITCHES: [Switch; 3] = [Switch::None, Switch::ClientHello, Switch::ServerName];
const MADE: [Made; 3] = [Made::Outer, Made::Inner, Made::Switched];
const ATTACHED: [Attached; 3] = [Attached::OuterFirst, Attached::InnerFirst, Attached::Twice];
const VISITS: [(SslVersion, Visit); 5] = [
    (SslVersion::TLS1_2, Visit::Full),
    (SslVersion::TLS1_2, Visit::Resumed),
    (SslVersion::TLS1_3, Visit::Full),
    (SslVersion::TLS1_3, Visit::Resumed),
    (SslVersion::TLS1_3, Visit::Early),
];

impl Combination {
    /// Contexts, times visits, of which two are full and offer no session.
    pub(crate) const NUMBER: usize = {
        let contexts = 2 * SWITCHES.len() * 4 * ATTACHED.len() * 2 * 2;
        contexts * 2 * 2 * (2 + (VISITS.len() - 2) * MADE.len() * 2)
    };

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        // Mixed radix digits; combinations that differ in nothing that matters are left out.
        const RADICES: [usize; 12] = [2, 3, 2, 2, 5, 2, 2, 3, 2, 3, 2, 2];
        (0..RADICES.iter().product()).filter_map(|mut index: usize| {
            let digits = RADICES.map(|radix| {
                let digit = index % radix;
                index /= radix;
                digit
            });
            let [
                initial,
                switch,
                a,
                b,
                visit,
                asks,
                has,
                made,
                made_with,
                attached,
                reusable,
                tier,
            ] = digits;
            let (version, visit) = VISITS[visit];
            let is_repeated = visit == Visit::Full && (made, made_with) != (0, 0);
            (!is_repeated).then_some(Self {
                initial: [Side::A, Side::B][initial],
                switch: SWITCHES[switch],
                demands: [a == 1, b == 1],
                version,
                visit,
                asks_for_switch: asks == 1,
                has_certificate: has == 1,
                made: MADE[made],
                made_with_certificate: made_with == 1,
                attached: ATTACHED[attached],
                is_reusable: reusable == 1,
                has_tier: tier == 1,
            })
        })
    }

    /// The context that a connection ends in which comes to the visit's listener.
    fn end(&self, asks_for_switch: bool) -> Side {
        match self.switch {
            Switch::ClientHello | Switch::ServerName if asks_for_switch => self.initial.other(),
            _ => self.initial,
        }
    }

    fn demands_at(&self, side: Side) -> bool {
        self.demands[side as usize]
    }

    /// The context that the offered session belongs to; `None` if it could not be made there.
    fn home(&self) -> Option<Side> {
        let home = match self.made {
            Made::Outer => self.initial,
            Made::Inner => self.initial.other(),
            Made::Switched => self.end(true),
        };
        let is_made = self.made_with_certificate || !self.demands_at(home);
        (self.visit != Visit::Full && is_made).then_some(home)
    }

    /// A full handshake shows what the context demands.
    pub(crate) fn may_enter_anew(&self) -> bool {
        self.has_certificate || !self.demands_at(self.end(self.asks_for_switch))
    }

    /// A session is resumed where it belongs, and nowhere else.
    pub(crate) fn may_resume(&self) -> bool {
        let is_of_host = self.version == SslVersion::TLS1_3 || self.is_for_same_name();
        self.home() == Some(self.end(self.asks_for_switch)) && is_of_host
    }

    fn is_for_same_name(&self) -> bool {
        self.asks_for_switch == (self.made == Made::Switched)
    }

    /// It is found where the lookup is made in its own context: behind a server name callback that
    /// is so once a full handshake has shown the way.
    pub(crate) fn must_resume(&self) -> bool {
        let end = self.end(self.asks_for_switch);
        let is_found =
            self.switch != Switch::ServerName || end == self.initial || self.made == Made::Switched;
        self.may_resume() && is_found
    }

    /// Whoever brings nothing, or what belongs here, is not turned away.
    pub(crate) fn must_enter(&self) -> bool {
        let is_honest = self.home().is_none_or(|home| home == self.end(self.asks_for_switch));
        is_honest && (self.may_enter_anew() || self.must_resume())
    }

    /// Early data need a session that is resumed, by nobody else.
    pub(crate) fn may_send_early(&self) -> bool {
        self.visit == Visit::Early && self.may_resume() && !self.is_reusable
    }

    pub(crate) fn must_accept_early(&self) -> bool {
        self.may_send_early() && self.must_resume()
    }
}
