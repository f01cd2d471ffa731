//! What local-cloud claims of AWS, held against an account. Each claim is a [`Probe`]: it is carried out in the account and on
//! a local cloud in this process, by the same code, and where the answers differ, one of the two is wrong about AWS. So
//! what local-cloud answers is written down nowhere but in local-cloud.
//!
//! Everything that is made carries the run's tag, and is removed by it.

mod account;
mod clean_up;
mod hearing;
mod pace;
mod probe;
mod probes;
mod report;
mod scene;

use std::error::Error;
use std::time::Duration;

use local_cloud::cloud::{Cloud, Options};
use local_cloud::world::Config;

pub use account::{Account, Identity};
pub use clean_up::{Left, clean_up};
pub use probe::{Answers, Claim, Probe, Said, Took};
pub use probes::PROBES;
pub use report::{Difference, Report};

use scene::Scene;

/// Any error: this is a check that a person runs, which only reports it.
pub type Failure = Box<dyn Error + Send + Sync>;

/// How many times faster than AWS the local cloud is that the account is held against.
const SPEED_OF_REFERENCE: f64 = 20.0;

/// One run: which account, and by which name what it makes there is known.
#[derive(Debug, Clone)]
pub struct Run {
    /// The account.
    pub account: Account,
    /// The run's name, in the tag of everything that it makes.
    pub name: String,
    /// How many times faster than AWS the account's cloud is: 1, but for local-cloud.
    pub speed: f64,
    /// A role that is taken on for the probe of condition keys; the caller's own rights are narrowed down for it otherwise.
    pub role: Option<String>,
}

/// Carries out a probe in the account and on a local cloud.
pub async fn carry_out(run: &Run, probe: &Probe) -> Result<Report, Failure> {
    let world = Config { speed: SPEED_OF_REFERENCE, seed: 1, ..Config::default() };
    let cloud = Cloud::start(Options { world, schedule: None, ..Options::default() }).await?;
    let reference = Run {
        account: Account::at(&cloud.endpoint()).await,
        name: run.name.clone(),
        speed: SPEED_OF_REFERENCE,
        role: run.role.clone(),
    };
    let (claimed, seen) = tokio::join!(answers(&reference, probe), answers(run, probe));
    cloud.shutdown().await;
    let about = |failure: Failure, side: &str| format!("{}{side}: {failure}", probe.name);
    let claimed = claimed.map_err(|failure| about(failure, ", on local-cloud"))?;
    let seen = seen.map_err(|failure| about(failure, ""))?;
    Ok(Report::new(probe, &claimed, &seen))
}

async fn answers(run: &Run, probe: &Probe) -> Result<Answers, Failure> {
    let scene = Scene::prepare(run, probe.name).await?;
    let mut answers = Answers::default();
    (probe.ask)(&scene, &mut answers).await?;
    Ok(answers)
}

/// How long what may never happen is waited for.
const PATIENCE: Duration = Duration::from_mins(5);
/// How long what must happen is waited for: metal aside, nothing takes longer.
const LIMIT: Duration = Duration::from_mins(20);
