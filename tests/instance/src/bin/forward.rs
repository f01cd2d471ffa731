//! Standard input and output as a connection to an address: how qemu reaches the metadata service of an instance that it plays.

use std::fs::File;
use std::io::{copy, stdin, stdout};
use std::net::TcpStream;
use std::os::fd::AsFd as _;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_default();
    let mut service = TcpStream::connect(address)?;
    let mut questions = service.try_clone()?;
    // Whoever hangs up ends both.
    std::thread::spawn(move || {
        let asked = copy(&mut stdin().lock(), &mut questions);
        std::process::exit(i32::from(asked.is_err()));
    });
    // Not as std has it, which holds back what is no whole line yet.
    let mut answers = File::from(stdout().as_fd().try_clone_to_owned()?);
    copy(&mut service, &mut answers).map(drop)
}
