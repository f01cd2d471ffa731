//! Explores configurations of the model: `cargo run --release -p model -- [CONFIGURATION…]`.

use std::io::Write as _;
use std::process::ExitCode;

use model::Protocol;
use model::configuration::{self, Configuration};
use model::explore::{Verdict, explore};
use model::variant::Variant;

const HELP: &str = "\
Explores every state of the model's configurations and says whether a rule is broken in one.

  cargo run --release -p model -- [CONFIGURATION…] [--variant NAME]…

Without a name every configuration is explored, one after the other. A counterexample is told step by step.

  --variant NAME   with the protocol broken in this way: to see that the checks find it
  --list           the names of configurations and variants
  --help           this
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "model: {problem}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode, String> {
    let mut out = std::io::stdout();
    let mut say = |text: &str| {
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| error.to_string())
    };
    let mut chosen: Vec<Configuration> = Vec::new();
    let mut variants = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--help" | "-h" => {
                say(HELP)?;
                return Ok(ExitCode::SUCCESS);
            }
            "--list" => {
                for known in configuration::ALL {
                    say(&format!("{:28} {}", known.name, known.about))?;
                }
                for (name, _) in Variant::ALL {
                    say(&format!("--variant {name}"))?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            "--variant" => {
                let name = rest.next().ok_or("--variant takes a name; --list shows them")?;
                let known = Variant::named(name);
                variants.push(known.ok_or(format!("no variant {name}; --list shows them"))?);
            }
            name => chosen.push(
                configuration::named(name)
                    .ok_or(format!("no configuration {name}; --list shows them"))?,
            ),
        }
    }
    if chosen.is_empty() {
        chosen = configuration::ALL.to_vec();
    }
    let mut broken = false;
    for configuration in chosen {
        let verdict = explore(&Protocol::new(configuration, &variants));
        say(&told(&configuration, &verdict))?;
        broken |= verdict.found.is_some();
    }
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn told(configuration: &Configuration, verdict: &Verdict) -> String {
    let Verdict { states, steps, depth, took, found } = verdict;
    let (name, seconds) = (configuration.name, took.as_secs_f64());
    let counts = format!("{states} states, {steps} steps, depth {depth}, {seconds:.1} s");
    match found {
        None => format!("{name}: exhausted, every rule holds ({counts})"),
        Some(counterexample) => format!("{name}: BROKEN ({counts})\n{counterexample}"),
    }
}
