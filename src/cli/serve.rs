//! `serve`: the live page.

use std::fs;
use std::path::Path;

use super::args::ServeArgs;
use super::{Ending, say};
use crate::RunError;
use crate::error::AtPath;
use crate::runtime::Setup;
use crate::serve::{Background, Options, Server};

pub(super) fn serve(setup: &Setup, args: &ServeArgs) -> Result<Ending, RunError> {
    let server = Server::bind(setup, &options(args))?;
    say(format_args!("page: {} (Ctrl-C ends it)", server.url()))?;
    server.run()?;
    Ok(Ending::Success)
}

fn options(args: &ServeArgs) -> Options {
    Options {
        directories: args.directories.clone(),
        host: args.host.clone(),
        port: args.port,
        token: args.token.clone(),
        allowed_hosts: args.allow_host.clone(),
    }
}

/// Shows what is in a directory, which need not be there yet, while something else goes on; and the page's address.
pub(super) fn beside(
    setup: &Setup,
    directory: &Path,
    port: Option<u16>,
) -> Result<(String, Background), RunError> {
    fs::create_dir_all(directory).at("cannot create", directory)?;
    let options = Options { directories: vec![directory.to_owned()], port, ..Options::default() };
    let server = Server::bind(setup, &options)?;
    Ok((server.url(), server.in_background()?))
}
