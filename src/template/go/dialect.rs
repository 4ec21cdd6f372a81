//! The two dialects of Go templates.

/// Whose functions a Go template has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GoDialect {
    /// External Secrets and the Go tool.
    Go,
    /// Vault Agent and consul-template.
    ConsulTemplate,
}

impl GoDialect {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Go => Self::ConsulTemplate,
            Self::ConsulTemplate => Self::Go,
        }
    }

    /// As `template.engine` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::ConsulTemplate => "consul-template",
        }
    }
}
