//! The `local-cloud serve` command, as a person runs it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

fn serve(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-cloud"));
    command.arg("serve").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn refused(arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = serve(arguments).output().unwrap();
    assert!(!status.success(), "{status}");
    String::from_utf8(stderr).unwrap()
}

#[test]
fn it_prints_what_to_paste_and_stops_cleanly_on_a_signal() {
    for signal in ["-TERM", "-INT"] {
        let options = [
            "--listen",
            "127.0.0.1:0",
            "--lifecycle",
            "/bin/false",
            "--speed",
            "10",
            "--seed",
            "7",
        ];
        let mut server = serve(&options).spawn().unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let printed: Vec<_> = lines.by_ref().take(6).map(Result::unwrap).collect();
        assert!(printed[0].starts_with("export AWS_ENDPOINT_URL=http://127.0.0.1:"), "{printed:?}");
        for name in
            ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "STATEFUL_ASG_TABLE"]
        {
            let export = format!("export {name}=");
            assert!(printed.iter().any(|line| line.starts_with(&export)), "{name}: {printed:?}");
        }
        let pid = server.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let status = server.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{signal}: {status}");
    }
}

#[test]
fn it_refuses_an_address_that_others_can_reach() {
    let said = refused(&["--listen", "0.0.0.0:0"]);
    assert!(said.contains("0.0.0.0:0 is not a loopback address"), "{said}");
}

#[test]
fn it_says_how_to_build_a_function_that_is_not_there() {
    let said = refused(&["--listen", "127.0.0.1:0", "--reconcile", "/nowhere/reconcile"]);
    assert!(
        said.contains("/nowhere/reconcile") && said.contains("cargo build -p reconcile"),
        "{said}"
    );
}
