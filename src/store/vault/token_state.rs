//! What is known of a credential set and its token: a state machine without input and output. `credentials` asks the
//! server and moves it.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Duration, Instant};

use super::auth::Token;
use super::cooldown::{AuthFailure, CoolDown, LoginBudget, Tried};
use super::lease::TokenSource;
use crate::fault::{Fault, Kind};
use crate::net::Address;

/// A look-up answers for all who were refused until then and shortly after.
const VERDICT_HOLDS: Duration = Duration::from_secs(1);

/// A token this near its end may have ended on the way.
const MOMENT: Duration = Duration::from_secs(1);

/// A token that is refused within this time of its login says something about the credentials.
const FRESH: Duration = Duration::from_secs(30);

/// The refused logins of all credential sets that log in at one address.
pub(super) type SharedBudget = Arc<Mutex<LoginBudget>>;

/// The refused logins of a process, by where they were sent: a server locks an identity whichever store it was for.
#[derive(Clone, Default)]
pub struct RefusedLogins(Arc<Mutex<BTreeMap<String, SharedBudget>>>);

impl RefusedLogins {
    pub(super) fn at(&self, address: &Address) -> SharedBudget {
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(budgets.entry(address.to_string()).or_default())
    }
}

/// What is known of one credential set.
#[derive(Default)]
pub(super) struct SetState {
    pub(super) token: TokenState,
    /// Counts finished attempts: a task that waited for one can see that there was one.
    pub(super) attempts: u64,
    /// Why the last attempt failed, if it did.
    pub(super) failure: Option<Fault>,
    /// The credentials that were tried last; `None` where they could not be read.
    pub(super) tried: Option<Tried>,
    pub(super) cool_down: CoolDown,
    pub(super) budget: SharedBudget,
    /// There was a token: one of an earlier process is not asked for any more.
    pub(super) has_begun: bool,
    /// Tokens of this set have been good although they may not look themselves up: a refused look-up is no proof.
    pub(super) are_look_ups_denied: bool,
}

/// The token that reads are sent with.
#[derive(Default)]
pub(super) enum TokenState {
    /// No login yet, or the token must not be used.
    #[default]
    None,
    Serving(CurrentToken),
    /// Refused for a read, and for its look-up. It is used until there is another one: where tokens may not look
    /// themselves up it is good for what its policy allows, and it may be the last one that there is.
    Suspect(CurrentToken),
}

pub(super) struct CurrentToken {
    pub(super) token: Arc<Token>,
    /// When it ends, where that is known.
    pub(super) end: Option<Instant>,
    /// When the server last said that it is good.
    pub(super) verified: Option<Instant>,
    /// When a read with it succeeded last.
    pub(super) served: Option<Instant>,
}

/// Why a read was denied.
pub(super) enum DeniedRead {
    /// The token is good: the policy denies it.
    ByPolicy,
    /// The token was bad; here is another one.
    TokenReplaced(Arc<Token>),
}

impl SetState {
    /// Notes a failure of the credentials that were tried last; gives `fault` with their cool-down.
    pub(super) fn note(&mut self, failure: AuthFailure, fault: Fault) -> Fault {
        let Some(tried) = self.tried else { return fault };
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        self.cool_down.note(failure, fault, tried, &mut budget)
    }

    /// The fault of the credentials that were tried last, if they must not be tried now.
    pub(super) fn blocked(&mut self) -> Option<Fault> {
        let budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        self.cool_down.blocked(self.tried?, &budget)
    }

    /// The token has proved good.
    pub(super) fn trust(&mut self) {
        self.token = match std::mem::take(&mut self.token) {
            TokenState::None => TokenState::None,
            TokenState::Serving(current) | TokenState::Suspect(current) => TokenState::Serving(current),
        };
        self.cool_down.reset();
    }

    /// The token has been refused, and its look-up too.
    pub(super) fn suspect(&mut self) {
        self.token = match std::mem::take(&mut self.token) {
            TokenState::None => TokenState::None,
            TokenState::Serving(current) | TokenState::Suspect(current) => TokenState::Suspect(current),
        };
    }

    /// Whether the token is gone, and no login brings another one. A refused look-up proves that only of one that was looked up
    /// before: others may not look themselves up.
    pub(super) fn is_token_lost(&self) -> bool {
        let TokenState::Suspect(CurrentToken { token, .. }) = &self.token else { return false };
        token.source() == TokenSource::Static && token.has_been_looked_up()
    }

    /// Forgets `token`; false where it is not in use any more.
    pub(super) fn forget(&mut self, token: &Arc<Token>) -> bool {
        let is_in_use = self.token.in_use(token).is_some();
        if is_in_use {
            self.token = TokenState::None;
        }
        is_in_use
    }

    /// The token that reads use. A static one is used beyond the end that is known of it: it may have been renewed
    /// elsewhere, and the server is who knows. One that was never good is not sent again while it cools down.
    pub(super) fn usable(&mut self) -> Option<Arc<Token>> {
        let current = self.token.current()?;
        let token = Arc::clone(&current.token);
        let is_usable = match token.source() {
            TokenSource::Login => current.end.is_none_or(|end| end > Instant::now()),
            TokenSource::Static => {
                let is_proven = current.served.is_some() || current.verified.is_some();
                is_proven || !self.token.is_suspect() || self.blocked().is_none()
            }
        };
        is_usable.then_some(token)
    }

    /// What is known of a denied read without a question.
    pub(super) fn known_verdict(
        &self,
        used: &Arc<Token>,
        read: &impl Hash,
        begun: Instant,
    ) -> Option<DeniedRead> {
        let current = self.token.current()?;
        if !Arc::ptr_eq(&current.token, used) {
            return Some(DeniedRead::TokenReplaced(Arc::clone(&current.token)));
        }
        // It was good for another read meanwhile. Where it cannot be looked up, a read that has never succeeded with a
        // token that has served says nothing against the token.
        let is_good = current.verified.is_some_and(|at| at.elapsed() < VERDICT_HOLDS)
            || current
                .served
                .is_some_and(|at| at > begun || (self.are_look_ups_denied && !used.has_read(read)));
        is_good.then_some(DeniedRead::ByPolicy)
    }

    /// Whether another login is due without a look-up: there is no token, or a login's has been refused before.
    ///
    /// # Errors
    /// The token has been refused before, and its credentials cool down.
    pub(super) fn is_in_doubt(&mut self) -> Result<bool, Fault> {
        match &self.token {
            TokenState::None => Ok(true),
            TokenState::Serving(_) => Ok(false),
            TokenState::Suspect(current) => {
                let is_login = current.token.source() == TokenSource::Login;
                self.blocked().map_or(Ok(is_login), Err)
            }
        }
    }

    /// What a bad token says about its credentials; `None`: nothing.
    pub(super) fn failure_of(&self, token: &Token) -> Option<(AuthFailure, Fault)> {
        let current = self.token.current()?;
        let (failure, message, remedy) = match token.logged_in {
            None => (
                AuthFailure::Refused,
                "the token is invalid or expired",
                "provide a new token; it also needs the `default` policy, to look itself up",
            ),
            Some(at) if at.elapsed() >= FRESH => return None,
            Some(_) if current.served.is_none() && current.verified.is_none() => (
                AuthFailure::Unusable,
                "the login succeeds, but its tokens are refused at once",
                "check the role's token_bound_cidrs and its `default` policy (tokens must look themselves up), and \
                 whether standby nodes lag",
            ),
            Some(_) if current.end.is_some_and(|end| end <= Instant::now() + MOMENT) => return None,
            Some(_) => (
                AuthFailure::Revoked,
                "tokens end soon after their login, or may not look themselves up",
                "allow them `auth/token/lookup-self`; else ask the server's audit log who revokes them",
            ),
        };
        Some((failure, Fault::new(Kind::Login, message, remedy)))
    }
}

impl TokenState {
    pub(super) fn current(&self) -> Option<&CurrentToken> {
        match self {
            Self::None => None,
            Self::Serving(current) | Self::Suspect(current) => Some(current),
        }
    }

    /// `token`, if it is the one in use.
    pub(super) fn in_use(&mut self, token: &Arc<Token>) -> Option<&mut CurrentToken> {
        match self {
            Self::None => None,
            Self::Serving(current) | Self::Suspect(current) => {
                Some(current).filter(|current| Arc::ptr_eq(&current.token, token))
            }
        }
    }

    pub(super) fn is_suspect(&self) -> bool {
        matches!(self, Self::Suspect(_))
    }
}
