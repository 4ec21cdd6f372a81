//! `SANDBOX` and what it leaves open besides what the configuration needs.

use std::path::{Path, PathBuf};

use super::reader::SettingsReader;

/// `SANDBOX`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum SandboxMode {
    /// No restriction.
    Off,
    /// What the kernel has.
    #[default]
    Auto,
    /// No start where the kernel cannot restrict paths.
    Require,
}

/// The sandbox as asked for.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct SandboxSettings {
    /// `SANDBOX`.
    pub mode: SandboxMode,
    /// `SANDBOX_READ`: more trees to read.
    pub read: Vec<PathBuf>,
    /// `SANDBOX_WRITE`: more trees to write in.
    pub write: Vec<PathBuf>,
    /// `SANDBOX_CONNECT`: the TCP ports to connect to besides those of the configuration; empty: any.
    pub connect: Vec<u16>,
}

const PATHS: &str =
    "absolute paths with colons between them, such as /secrets:/run/app; not the root directory";

impl SettingsReader<'_> {
    pub(super) fn sandbox(&mut self) -> SandboxSettings {
        let mode = self.value("SANDBOX", "off, auto or require", |text| match text {
            "off" => Some(SandboxMode::Off),
            "auto" => Some(SandboxMode::Auto),
            "require" => Some(SandboxMode::Require),
            _ => None,
        });
        let read = self.value("SANDBOX_READ", PATHS, paths);
        let write = self.value("SANDBOX_WRITE", PATHS, paths);
        let takes = "TCP ports with colons between them, such as 8443:9200";
        let connect = self.value("SANDBOX_CONNECT", takes, ports);
        SandboxSettings {
            mode: mode.unwrap_or_default(),
            read: read.unwrap_or_default(),
            write: write.unwrap_or_default(),
            connect: connect.unwrap_or_default(),
        }
    }
}

fn paths(text: &str) -> Option<Vec<PathBuf>> {
    let path = |text: &str| {
        let path = Path::new(text);
        (path.is_absolute() && path.file_name().is_some() && !text.contains('\0')).then(|| path.to_owned())
    };
    text.split(':').map(path).collect()
}

fn ports(text: &str) -> Option<Vec<u16>> {
    text.split(':').map(|port| port.parse().ok().filter(|port| *port > 0)).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::diagnostic::Report;
    use crate::config::env::Env;
    use crate::config::settings::Settings;

    use super::*;

    fn sandbox(pairs: &[(&str, &str)]) -> Result<SandboxSettings, Report> {
        let env = Env::from_pairs(pairs.iter().copied());
        Ok(Settings::from_env(&crate::config::settings::Flags::default(), &env, Path::new("/work"))?.sandbox)
    }

    #[test]
    fn the_sandbox_is_what_the_kernel_has_unless_it_is_told_otherwise() {
        assert_eq!(sandbox(&[]).unwrap(), SandboxSettings::default());
        assert_eq!(SandboxSettings::default().mode, SandboxMode::Auto);
        assert_eq!(sandbox(&[("SANDBOX", "auto")]).unwrap().mode, SandboxMode::Auto);
        assert_eq!(sandbox(&[("SANDBOX", "off")]).unwrap().mode, SandboxMode::Off);
        assert_eq!(sandbox(&[("SANDBOX", "require")]).unwrap().mode, SandboxMode::Require);
    }

    #[test]
    fn trees_and_ports_stand_between_colons() {
        let pairs =
            [("SANDBOX_READ", "/a"), ("SANDBOX_WRITE", "/secrets:/run/app"), ("SANDBOX_CONNECT", "1:65535")];
        let SandboxSettings { read, write, connect, .. } = sandbox(&pairs).unwrap();
        assert_eq!((read, connect), (vec![PathBuf::from("/a")], vec![1, 65535]));
        assert_eq!(write, ["/secrets", "/run/app"].map(PathBuf::from));
    }

    #[test]
    fn what_is_no_tree_or_port_is_refused() {
        for (name, value) in [
            ("SANDBOX", "yes"),
            ("SANDBOX_WRITE", "/"),
            ("SANDBOX_WRITE", "/a:/.."),
            ("SANDBOX_WRITE", "/a::/b"),
            ("SANDBOX_READ", "relative"),
            ("SANDBOX_CONNECT", "0"),
            ("SANDBOX_CONNECT", "65536"),
        ] {
            assert!(sandbox(&[(name, value)]).is_err(), "{name}={value}");
        }
    }
}
