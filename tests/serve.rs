//! The page's server, asked over HTTP: what it tells of runs, and what it refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use agon::config::{self, RunConfig};
use agon::envs::render;
use agon::policy::Which;
use agon::record::Player;
use agon::runtime::{self, Setup};
use agon::serve::{Background, Options, Server};
use serde_json::Value;

const HEADER: &str = "iteration,global_step,updates,episodes,charts/episodic_return,losses/value_loss\n";

struct Site {
    address: SocketAddr,
    _server: Background,
}

struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Site {
    fn of(directory: &Path) -> Self {
        Self::with(&Options { directories: vec![directory.to_owned()], port: Some(0), ..Options::default() })
    }

    fn with(options: &Options) -> Self {
        let server = Server::bind(&Setup::default(), options).unwrap();
        let address = server.address();
        Self { address, _server: server.in_background().unwrap() }
    }

    fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn ask(&self, first_line: &str, headers: &[&str], body: &str) -> Answer {
        let mut request =
            format!("{first_line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        headers.iter().for_each(|header| write!(request, "{header}\r\n").unwrap());
        let mut text = Vec::new();
        self.send(&format!("{request}\r\n{body}")).read_to_end(&mut text).unwrap();
        let text = String::from_utf8_lossy(&text).into_owned();
        let (headers, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = headers.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, headers: headers.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[&format!("Host: {}", self.address)], "")
    }

    /// The items of the list by their ids.
    fn item(&self, id: &str) -> Value {
        let list = self.get("/api/list").json();
        let items = list["items"].as_array().unwrap();
        items.iter().find(|item| item["id"] == id).unwrap_or_else(|| panic!("no {id} in {list}")).clone()
    }

    fn chart(&self, id: &str, query: &str) -> Value {
        let key = self.item(id)["key"].clone();
        let answer = self.get(&format!("/api/chart?keys={key}&{query}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }
}

/// Writes a run of so many rows.
fn write_run(path: &Path, seed: u64, rows: u64) {
    fs::create_dir_all(path).unwrap();
    let config = format!(
        "algorithm = \"ppo\"\nseed = {seed}\ntotal_timesteps = 100000\n\n[env]\nid = \"CartPole-v1\"\n\n[agent]\ngamma = 0.99\n"
    );
    fs::write(path.join("config.toml"), config).unwrap();
    let mut metrics = HEADER.to_owned();
    let mut timing = "iteration,global_step,seconds,steps_per_second\n".to_owned();
    for i in 1..=rows {
        writeln!(metrics, "{i},{},{},{i},{},0.5", 100 * i, 4 * i, (i + seed) % 500).unwrap();
        writeln!(timing, "{i},{},{}.5,200.0", 100 * i, i).unwrap();
    }
    fs::write(path.join("metrics.csv"), metrics).unwrap();
    fs::write(path.join("timing.csv"), timing).unwrap();
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

const RETURN: &str = "metric=charts/episodic_return";

#[test]
fn runs_are_listed_with_what_they_have_written_down() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("results");
    write_run(&results.join("exp/seed_1"), 1, 20);
    write_run(&results.join("exp/seed_2"), 2, 20);
    fs::write(results.join("exp/experiment.toml"), "seeds = [1, 2]\n").unwrap();
    write_run(&results.join("alone"), 1, 10);
    let text = fs::read_to_string(results.join("alone/config.toml")).unwrap();
    fs::write(results.join("alone/config.toml"), text.replace("0.99", "0.9")).unwrap();
    fs::write(results.join("alone/failure.toml"), "env_steps = 1000\nreason = \"loss is NaN\"\n").unwrap();
    fs::write(
        results.join("exp/seed_2/evaluations.csv"),
        "iteration,global_step,eval/mean_return\n1,100,7\n9,900,21\n",
    )
    .unwrap();
    let site = Site::of(&results);
    let alone = site.item("results/alone");
    assert_eq!((&alone["state"], &alone["reason"]), (&"failed".into(), &"loss is NaN".into()));
    assert_eq!(alone["differs"], serde_json::json!({"agent.gamma": "0.9"}));
    let seed = site.item("results/exp/seed_2");
    assert_eq!(
        (&seed["env_steps"], &seed["score"], &seed["evaluation"]),
        (&2000.into(), &22.0.into(), &21.0.into())
    );
    let experiment = site.item("results/exp");
    assert_eq!(
        (&experiment["kind"], &experiment["runs"], &experiment["score"]),
        (&"experiment".into(), &2.into(), &21.5.into())
    );
    assert_eq!((&seed["parent"], &experiment["state"]), (&experiment["key"], &"stopped".into()));
    assert_eq!(experiment["differs"], serde_json::json!({"agent.gamma": "0.99"}));
    let list = site.get("/api/list").json();
    assert!(list["metrics"].as_array().unwrap().contains(&"eval/mean_return".into()));
    let since = site.get(&format!("/api/list?since={}", list["revision"])).json();
    assert_eq!((&since["items"], &since["removed"]), (&serde_json::json!([]), &serde_json::json!([])));
}

#[test]
fn a_chart_follows_a_file_that_grows_line_by_line() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("results");
    write_run(&results.join("run"), 0, 3);
    let site = Site::of(&results);
    let steps = |query: &str| site.chart("results/run", query)["curves"][0]["x"].clone();
    assert_eq!(steps(RETURN), serde_json::json!([100.0, 200.0, 300.0]));
    append(&results.join("run/metrics.csv"), "4,400,16,4,7,0.25\n5,50");
    assert_eq!(steps(RETURN), serde_json::json!([100.0, 200.0, 300.0, 400.0]), "half a line is none");
    append(&results.join("run/metrics.csv"), "0,20,5,8,0.125\n");
    assert_eq!(steps(RETURN), serde_json::json!([100.0, 200.0, 300.0, 400.0, 500.0]));
    assert_eq!(steps(&format!("{RETURN}&x=updates")), serde_json::json!([4.0, 8.0, 12.0, 16.0, 20.0]));
    assert_eq!(
        steps(&format!("{RETURN}&x=seconds")),
        serde_json::json!([1.5, 2.5, 3.5]),
        "no times of the others yet"
    );
    assert_eq!(steps(&format!("{RETURN}&from=150&to=350")), serde_json::json!([100.0, 200.0, 300.0, 400.0]));
}

#[test]
fn what_is_not_finite_is_a_gap_that_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("results");
    write_run(&results.join("run"), 0, 2);
    append(
        &results.join("run/metrics.csv"),
        "3,300,12,3,NaN,1\n4,400,16,4,inf,1\nbroken\n5,500,20,5,-3,1\n2,200,8,2,9,1\n",
    );
    let site = Site::of(&results);
    let chart = site.chart("results/run", RETURN);
    let curve = &chart["curves"][0];
    assert_eq!(curve["x"], serde_json::json!([100.0, 200.0, 300.0, 400.0, 500.0]));
    assert_eq!(curve["y"], serde_json::json!([1.0, 9.0, null, null, -3.0]));
    assert_eq!(
        curve["left_out"],
        serde_json::json!({"not_finite": 2, "not_positive": 0, "repeated": 1, "broken": 1})
    );
    let chart = site.chart("results/run", &format!("{RETURN}&log_y=true"));
    assert_eq!(chart["curves"][0]["y"], serde_json::json!([1.0, 9.0, null, null, null]));
    assert_eq!(chart["curves"][0]["left_out"]["not_positive"], 1);
    let missing = site.chart("results/run", "metric=no/such");
    assert!(missing["missing"][0][1].as_str().unwrap().contains("has no no/such yet"), "{missing}");
}

#[test]
fn seeds_are_one_curve_with_a_band() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("results");
    for seed in [1, 3] {
        write_run(&results.join(format!("exp/seed_{seed}")), seed, 5);
    }
    let site = Site::of(&results);
    let chart = site.chart("results/exp", RETURN);
    let curve = &chart["curves"][0];
    assert_eq!((&curve["runs"], &curve["rows"]), (&2.into(), &10.into()));
    assert_eq!(curve["y"], serde_json::json!([3.0, 4.0, 5.0, 6.0, 7.0]));
    assert_eq!((&curve["low"][0], &curve["high"][0]), (&2.0.into(), &4.0.into()));
}

#[test]
fn many_rows_are_shown_by_their_extremes() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("results");
    write_run(&results.join("run"), 0, 50_000);
    append(&results.join("run/metrics.csv"), "50001,5000100,1,1,123456,0.5\n");
    let site = Site::of(&results);
    let first = site.chart("results/run", &format!("{RETURN}&first_look=true"));
    assert_eq!((&first["curves"][0]["is_sample"], &first["curves"][0]["rows"]), (&true.into(), &200.into()));
    let chart = site.chart("results/run", &format!("{RETURN}&buckets=300"));
    assert_eq!(chart["curves"][0]["is_sample"], false);
    let again = site.chart("results/run", &format!("{RETURN}&first_look=true"));
    assert_eq!(again["curves"][0]["is_sample"], false, "it has been read");
    let curve = &chart["curves"][0];
    let (places, y) = (curve["x"].as_array().unwrap().len(), curve["y"].as_array().unwrap());
    assert!((300..=602).contains(&places) && curve["rows"] == 50_001, "{places}");
    assert!(y.contains(&123_456.0.into()) && y.contains(&0.0.into()));
}

#[test]
fn a_thousand_runs_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("results");
    for seed in 0..1000 {
        write_run(&results.join(format!("exp_{}/seed_{}", seed / 10, seed % 10)), seed, 2);
    }
    let site = Site::of(&results);
    let list = site.get("/api/list").json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1100);
    let keys: Vec<String> = (1..=250).map(|key| key.to_string()).collect();
    let chart = site.get(&format!("/api/chart?keys={}&{RETURN}", keys.join(","))).json();
    assert_eq!(chart["curves"].as_array().unwrap().len(), 250);
    let too_many: Vec<String> = (1..=257).map(|key| key.to_string()).collect();
    assert_eq!(site.get(&format!("/api/chart?keys={}&{RETURN}", too_many.join(","))).status, 400);
}

#[test]
fn the_stream_says_when_something_has_changed() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("results");
    write_run(&results.join("run"), 0, 3);
    let site = Site::of(&results);
    let stream = site.send(&format!("GET /api/events HTTP/1.1\r\nHost: {}\r\n\r\n", site.address));
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut head = lines.by_ref().take_while(|line| !line.is_empty());
    assert!(head.any(|line| line.eq_ignore_ascii_case("content-type: text/event-stream")));
    let mut pulses =
        lines.filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    let first = pulses.next().unwrap();
    assert!(first["load"]["cores"].as_u64().unwrap() > 0);
    append(&results.join("run/metrics.csv"), "4,400,16,4,7,0.25\n");
    let changed = pulses.find(|pulse| pulse["revision"] != first["revision"]).unwrap();
    assert!(changed["revision"].as_u64() > first["revision"].as_u64());
    assert_eq!(site.item("results/run")["env_steps"], 400);
}

#[test]
fn a_run_that_trains_is_running_and_then_finished() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("results");
    fs::create_dir(&results).unwrap();
    let site = Site::of(&results);
    let mut config = RunConfig { total_timesteps: 4096, ..RunConfig::default() };
    config.env.id = "CartPole-v1".to_owned();
    let mut states = Vec::new();
    runtime::train(&Setup::default(), config, &results.join("run"), &mut |progress| {
        if progress.env_steps >= 2048 && states.is_empty() {
            // Directories are searched for every few seconds.
            states.extend((0..200).find_map(|_| {
                std::thread::sleep(Duration::from_millis(50));
                let list = site.get("/api/list").json();
                list["items"].as_array()?.first().map(|item| item["state"].clone())
            }));
        }
        true
    })
    .unwrap();
    assert_eq!(states, ["running"]);
    std::thread::sleep(Duration::from_millis(1100));
    let item = site.item("results/run");
    assert_eq!(
        (&item["state"], &item["env_steps"], &item["has_policy"]),
        (&"finished".into(), &4096.into(), &true.into())
    );
    let detail = site.get(&format!("/api/run?key={}", item["key"])).json();
    assert_eq!(detail["checkpoints"].as_array().unwrap().last().unwrap(), 4096);
    assert_eq!(detail["logs"][0]["file"], "metrics.csv");
}

/// Trains a run of a moment.
fn train(path: &Path, algorithm: &str, env: &str, settings: &[&str]) {
    let mut table = toml::Table::new();
    config::set(&mut table, &format!("algorithm={algorithm}")).unwrap();
    config::set(&mut table, &format!("env.id={env}")).unwrap();
    settings.iter().for_each(|setting| config::set(&mut table, setting).unwrap());
    let config = RunConfig::from_table(&Setup::default().algorithms, table).unwrap();
    runtime::train(&Setup::default(), config, path, &mut |_| true).unwrap();
}

impl Site {
    fn replay(&self, id: &str, checkpoint: &str, more: &str) -> Answer {
        let key = self.item(id)["key"].clone();
        let body = format!("{{\"key\": {key}, \"checkpoint\": \"{checkpoint}\", \"seed\": 3{more}}}");
        let (host, origin) = (format!("Host: {}", self.address), format!("Origin: http://{}", self.address));
        self.ask("POST /api/replays", &[&host, &origin, "Content-Type: application/json"], &body)
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        let mut answer = Vec::new();
        self.send(&request).read_to_end(&mut answer).unwrap();
        let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        answer.split_off(body)
    }
}

#[test]
fn a_replay_has_the_frames_that_a_film_of_the_same_seed_has() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("results");
    let run = results.join("run");
    train(&run, "ppo", "CartPole-v1", &["total_timesteps=6144", "runtime.checkpoint_every=2048"]);
    let site = Site::of(&results);
    let detail = site.get(&format!("/api/run?key={}", site.item("results/run")["key"])).json();
    let checkpoints = detail["checkpoints"].as_array().unwrap();
    assert!(checkpoints.len() >= 2, "{checkpoints:?}");
    let mut episodes = Vec::new();
    for (checkpoint, stochastic) in checkpoints.iter().flat_map(|step| [(step, false), (step, true)]) {
        let answer =
            site.replay("results/run", &checkpoint.to_string(), &format!(", \"stochastic\": {stochastic}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        let replay = answer.json();
        let which = Which::Step(checkpoint.as_u64().unwrap());
        let film = Player::of_run(&Setup::default(), &run, which, stochastic, Some(3))
            .unwrap()
            .episode(1001)
            .unwrap();
        assert_eq!(replay["frames"], film.frames.len());
        assert_eq!(replay["rewards"].as_array().unwrap().len(), film.length as usize);
        for (number, frame) in film.frames.iter().enumerate() {
            let shown = site.bytes(&format!("/api/replays/{}/{number}", replay["id"]));
            assert!(shown == render::png_bytes(frame).unwrap(), "frame {number}");
        }
        // What was observed after a step is what is seen before the next one, and probabilities are those of two actions.
        assert_eq!(replay["observations"][0].as_array().unwrap().len(), 4);
        assert_eq!(replay["meanings"][2], "pole angle (rad)");
        for outputs in replay["outputs"].as_array().unwrap() {
            let sum: f64 = outputs.as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).sum();
            assert!((sum - 1.0).abs() < 1e-9);
        }
        assert!(replay["values"].as_array().unwrap().iter().all(Value::is_number));
        assert_eq!(replay["env_steps"], *checkpoint);
        episodes.push((replay["frames"].clone(), replay["outputs"][0].clone()));
    }
    assert_ne!(episodes[0], episodes[2], "another checkpoint plays otherwise");
}

#[test]
fn every_kind_of_policy_tells_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("results");
    let small = "network.encoder.hidden=[16]";
    train(
        &results.join("dqn"),
        "dqn",
        "CartPole-v1",
        &["total_timesteps=1500", "agent.learning_starts=500", "agent.buffer_size=1000", small],
    );
    train(
        &results.join("sac"),
        "sac",
        "Pendulum-v1",
        &["total_timesteps=600", "agent.learning_starts=500", "agent.buffer_size=1000", small],
    );
    train(&results.join("gaussian"), "ppo", "Pendulum-v1", &["total_timesteps=2048", small]);
    train(&results.join("masked"), "ppo", "TicTacToe-v0", &["total_timesteps=2048", small]);
    let site = Site::of(&results);
    for (id, kind, outputs, has_value) in [
        ("dqn", "values", 2, true),
        ("sac", "none", 0, false),
        ("gaussian", "mean_and_deviation", 2, true),
        ("masked", "probabilities", 9, true),
    ] {
        let answer = site.replay(&format!("results/{id}"), "newest", ", \"max_steps\": 5");
        let replay = answer.json();
        assert_eq!((answer.status, &replay["outputs_are"]), (200, &kind.into()), "{}", answer.body);
        assert_eq!(replay["outputs"][0].as_array().unwrap().len(), outputs, "{id}");
        assert_eq!(replay["values"][0].is_number(), has_value, "{id}");
        let (frames, steps) =
            (replay["frames"].as_u64().unwrap(), replay["rewards"].as_array().unwrap().len() as u64);
        assert!(frames == steps + 1 && steps <= 5, "{id}");
        assert!(steps < 5 || replay["end"] == "cut after 5 steps", "{id}: {}", replay["end"]);
    }
}

#[test]
fn the_value_of_a_replay_is_that_of_the_critic_whose_weights_lie_beside() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("results");
    train(
        &results.join("run"),
        "ppo",
        "CartPole-v1",
        &["total_timesteps=4096", "network.encoder.hidden=[3]"],
    );
    let (_, weights) = agon::policy::read(&results.join("run/model.safetensors")).unwrap();
    let tensor = |name: &str| weights.iter().find(|(found, ..)| *found == name).unwrap().2.to_vec();
    let [hidden, bias, head, offset] = ["encoder.0.weight", "encoder.0.bias", "head.0.weight", "head.0.bias"]
        .map(|name| tensor(&format!("critic.{name}")));
    let critic = |observation: &[f64]| {
        let unit = |i: usize| {
            let sum: f64 =
                hidden[4 * i..4 * i + 4].iter().zip(observation).map(|(w, x)| f64::from(*w) * x).sum();
            f64::from(head[i]) * (sum + f64::from(bias[i])).tanh()
        };
        (0..3).map(unit).sum::<f64>() + f64::from(offset[0])
    };
    let site = Site::of(&results);
    let replay = site.replay("results/run", "newest", ", \"max_steps\": 20").json();
    let steps = replay["observations"].as_array().unwrap().iter().zip(replay["values"].as_array().unwrap());
    assert!(steps.len() > 5);
    for (observation, value) in steps {
        let observation: Vec<f64> =
            observation.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        assert!((critic(&observation) - value.as_f64().unwrap()).abs() < 1e-4, "{observation:?}: {value}");
    }
}

#[test]
fn what_cannot_be_replayed_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("results");
    write_run(&results.join("run"), 0, 3);
    write_run(&results.join("exp/seed_1"), 1, 3);
    write_run(&results.join("python"), 0, 3);
    let config = fs::read_to_string(results.join("python/config.toml")).unwrap();
    fs::write(results.join("python/config.toml"), config.replace("CartPole-v1", "gymnasium:CartPole-v1"))
        .unwrap();
    for run in ["run", "python"] {
        fs::write(results.join(run).join("model.safetensors"), "no weights").unwrap();
    }
    let site = Site::of(&results);
    let refused = |id: &str, checkpoint: &str, more: &str, reason: &str| {
        let answer = site.replay(id, checkpoint, more);
        assert!((400..500).contains(&answer.status), "{}", answer.body);
        assert!(answer.body.contains(reason), "{}", answer.body);
    };
    refused("results/run", "newest", "", "model.safetensors");
    refused("results/run", "77", "", "expected step_000000000077.ckpt, found none");
    refused("results/run", "../../secret", "", "a checkpoint is newest, best or a number of steps");
    refused("results/run", "newest", ", \"path\": \"/etc\"", "unknown field `path`");
    refused("results/exp", "newest", "", "choose one of the seeds");
    refused("results/exp/seed_1", "newest", "", "expected model.safetensors, found none");
    refused("results/python", "newest", "", "a program in Python");
    let host = format!("Host: {}", site.address);
    assert_eq!(site.ask("POST /api/replays", &[&host, "Content-Type: application/json"], "{}").status, 403);
    assert_eq!(site.get("/api/replays/1/0").status, 404);
}

#[test]
fn a_sweep_tells_what_its_settings_explain() {
    let directory = tempfile::tempdir().unwrap();
    let sweep = directory.path().join("results/lr");
    fs::create_dir_all(&sweep).unwrap();
    let file = "algorithm = \"ppo\"\nenv = \"CartPole-v1\"\nmetric = \"last_100\"\n[strategy]\nkind = \"grid\"\n[parameters]\nagent.gamma = [0.9, 0.99]\nagent.clip_coef = [0.1, 0.2, 0.3]\n";
    fs::write(sweep.join("sweep.toml"), file).unwrap();
    for (trial, (gamma, clip)) in
        [0.9, 0.99].iter().flat_map(|gamma| [0.1, 0.2, 0.3].map(|clip| (gamma, clip))).enumerate()
    {
        let run = sweep.join(format!("trial_{trial:03}/seed_1"));
        // The score is that of the last row, which gamma decides alone.
        write_run(&run, 0, 10);
        let text = fs::read_to_string(run.join("metrics.csv")).unwrap();
        let score = if *gamma < 0.95 { 10 } else { 400 };
        fs::write(
            run.join("metrics.csv"),
            text.replace("10,1000,40,10,10,", &format!("10,1000,40,10,{score},")),
        )
        .unwrap();
        let config = fs::read_to_string(run.join("config.toml")).unwrap();
        fs::write(
            run.join("config.toml"),
            config.replace("gamma = 0.99", &format!("gamma = {gamma}\nclip_coef = {clip}")),
        )
        .unwrap();
    }
    let site = Site::of(&directory.path().join("results"));
    let item = site.item("results/lr");
    assert_eq!((&item["kind"], &item["score"], &item["runs"]), (&"sweep".into(), &400.0.into(), &6.into()));
    let answer = site.get(&format!("/api/sweep?key={}", item["key"]));
    let told = answer.json();
    assert_eq!(answer.status, 200, "{told}");
    let of = |key: &str| {
        told["parameters"].as_array().unwrap().iter().find(|one| one["key"] == key).unwrap().clone()
    };
    assert_eq!(of("agent.gamma")["share"], 1.0);
    assert_eq!(of("agent.clip_coef")["share"], 0.0);
    assert!(of("agent.gamma")["trend"].as_f64().unwrap() > 0.8);
    assert_eq!(
        (&told["compared"], &told["trials"][0]["score"], &told["trials"][5]["score"]),
        (&6.into(), &400.0.into(), &10.0.into())
    );
    let run = site.item("results/lr/trial_000/seed_1");
    assert_eq!(site.get(&format!("/api/sweep?key={}", run["key"])).status, 400);
}

#[test]
fn what_is_chosen_is_compared_as_on_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("results");
    for (name, more) in [("low", 0), ("high", 100)] {
        for seed in 1..=3 {
            let run = results.join(name).join(format!("seed_{seed}"));
            write_run(&run, seed + more, 1000);
            let config = RunConfig {
                total_timesteps: 100_000,
                seed,
                algorithm: "ppo".to_owned(),
                ..RunConfig::default()
            };
            let mut table = toml::Table::try_from(&config).unwrap();
            config::set(&mut table, "env.id=CartPole-v1").unwrap();
            fs::write(run.join("config.toml"), table.to_string()).unwrap();
        }
    }
    write_run(&results.join("unfinished"), 1, 10);
    let site = Site::of(&results);
    let keys = ["low", "high", "unfinished"].map(|id| site.item(&format!("results/{id}"))["key"].to_string());
    let answer = site.get(&format!("/api/compare?keys={}", keys.join(",")));
    let told = answer.json();
    assert_eq!(answer.status, 200, "{told}");
    let high = &told["algorithms"][1];
    assert_eq!(
        (&high["label"], &high["mean"]["value"], &high["runs"]),
        (&"results/high".into(), &102.0.into(), &3.into())
    );
    assert_eq!(high["profile"][0].as_array().unwrap().len(), 201);
    let better =
        told["improvements"].as_array().unwrap().iter().find(|one| one[0] == "results/high").unwrap();
    assert_eq!((&better[1], &better[2]["value"]), (&"results/low".into(), &1.0.into()));
    assert_eq!(told["left_out"][0][0], "results/unfinished");
    #[cfg(unix)]
    {
        fs::remove_file(results.join("low/seed_1/timing.csv")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", results.join("low/seed_1/timing.csv")).unwrap();
        let answer = site.get(&format!("/api/compare?keys={}", keys[0]));
        assert!(answer.status == 400 && answer.body.contains("found a link"), "{}", answer.body);
    }
}

#[test]
fn other_hosts_and_other_sites_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let site = Site::of(directory.path());
    let own = format!("Host: {}", site.address);
    let status = |headers: &[&str]| site.ask("GET /api/list", headers, "").status;
    assert_eq!(status(&[&own]), 200);
    assert_eq!(status(&["Host: localhost:1234"]), 200, "a tunnel has another port");
    assert_eq!(status(&["Host: evil.example"]), 403);
    assert_eq!(status(&[&own, "Host: evil.example"]), 403, "of two hosts one is another");
    assert_eq!(status(&[&own, "Origin: http://evil.example"]), 403);
    assert_eq!(status(&[&own, "Origin: null"]), 403);
    assert_eq!(status(&[&own, &format!("Origin: http://{}", site.address)]), 200);
    assert_eq!(status(&[&own, "Sec-Fetch-Site: cross-site"]), 403);
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        assert_eq!(site.ask(&format!("{method} /api/list"), &[&own], "").status, 405, "{method}");
    }
}

#[test]
fn every_answer_says_what_the_page_may_do() {
    let directory = tempfile::tempdir().unwrap();
    let site = Site::of(directory.path());
    for path in ["/", "/assets/main.js", "/api/list", "/no/such"] {
        let answer = site.get(path);
        for header in [
            "default-src 'none'; script-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(answer.headers.contains(header), "{path}: {}", answer.headers);
        }
        assert!(
            !answer.headers.contains("unsafe-inline") && !answer.headers.contains("access-control"),
            "{path}"
        );
    }
    assert!(site.get("/").body.contains("<title>Agon"));
}

#[test]
fn no_path_leads_out_of_the_directories() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("results");
    write_run(&results.join("run"), 0, 3);
    write_run(&directory.path().join("secret"), 0, 3);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(directory.path().join("secret"), results.join("link")).unwrap();
        write_run(&results.join("half"), 0, 3);
        fs::remove_file(results.join("half/metrics.csv")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", results.join("half/metrics.csv")).unwrap();
    }
    let site = Site::of(&results);
    let list = site.get("/api/list");
    assert!(!list.body.contains("secret") && !list.body.contains("link"), "{}", list.body);
    #[cfg(unix)]
    {
        let half = site.item("results/half");
        assert_eq!(half["env_steps"], 0);
        let detail = site.get(&format!("/api/run?key={}", half["key"]));
        assert!(detail.status == 200 && !detail.body.contains("root:"), "{}", detail.body);
        let chart = site.chart("results/half", "metric=losses/value_loss");
        assert_eq!(chart["curves"], serde_json::json!([]));
    }
    for path in [
        "/../secret/config.toml",
        "/assets/../../Cargo.toml",
        "/assets/..%2f..%2fetc/passwd",
        "/assets//etc/passwd",
        "/results/run/config.toml",
        "/api/run?key=../secret",
        "/api/run?key=99999",
        "/api/chart?keys=1;2&metric=x",
        "/%00",
        "/assets/%2e%2e/main.js",
    ] {
        let answer = site.get(path);
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        assert!(!answer.body.contains("CartPole") && !answer.body.contains("root:"), "{path}");
    }
}

#[test]
fn others_need_the_token() {
    let directory = tempfile::tempdir().unwrap();
    let options = |token: Option<&str>| Options {
        directories: vec![directory.path().to_owned()],
        host: "0.0.0.0".to_owned(),
        port: Some(0),
        token: token.map(str::to_owned),
        ..Options::default()
    };
    let refusal = |token| match Server::bind(&Setup::default(), &options(token)) {
        Ok(_) => panic!("expected a refusal"),
        Err(error) => error.to_string(),
    };
    assert!(refusal(None).contains("give a token"));
    assert!(refusal(Some("short")).contains("at least 16"));
    let site = Site::with(&options(Some("a-token-of-enough-letters")));
    let address = SocketAddr::from(([127, 0, 0, 1], site.address.port()));
    let site = Site { address, ..site };
    let host = format!("Host: {address}");
    let ask = |path: &str, header: &str| site.ask(&format!("GET {path}"), &[&host, header], "");
    for path in ["/", "/api/list", "/assets/main.js", "/?token=a-token-of-enough-lettres"] {
        let answer = ask(path, "Accept: */*");
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.headers.contains("content-security-policy"));
    }
    assert_eq!(ask("/api/list", "Authorization: Bearer a-token-of-enough-letters").status, 200);
    assert_eq!(
        ask("/api/list?token=a-token-of-enough-letters", "Accept: */*").status,
        401,
        "only the page itself takes it so"
    );
    let entered = ask("/?token=a-token-of-enough-letters", "Accept: */*");
    assert_eq!(entered.status, 303);
    assert!(
        entered
            .headers
            .contains("set-cookie: agon_token=a-token-of-enough-letters; httponly; samesite=strict")
    );
    assert_eq!(ask("/api/list", "Cookie: other=1; agon_token=a-token-of-enough-letters").status, 200);
}
