use std::fs;

use super::*;
use crate::policy::{self, Which};
use crate::runtime;
use crate::setup::Setup;

/// Keys that only tests use, and signatures that OpenSSF's `model-signing` 1.1.1 made with them of the model beside them.
fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/signing")
}

const CURVES: [&str; 3] = ["p256", "p384", "p521"];

fn keys(curve: &str) -> (PrivateKey, PublicKey) {
    let file = |ending: &str| data().join(format!("test_only_{curve}.{ending}"));
    (PrivateKey::load(&file("pem")).unwrap(), PublicKey::load(&file("pub")).unwrap())
}

/// A copy of the model that the official tool signed.
fn model(directory: &Path) -> PathBuf {
    let path = directory.join("model");
    for name in ["a/b", "a-b", "a.b", "notes/x"] {
        let file = path.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(data().join("model").join(name), file).unwrap();
    }
    path
}

fn message<T>(result: Result<T, RunError>) -> String {
    result.err().expect("an error").chain()
}

#[test]
fn signatures_of_the_official_tool_hold() {
    let directory = tempfile::tempdir().unwrap();
    let model = model(directory.path());
    for curve in CURVES {
        let signature = data().join(format!("official_{curve}.sig"));
        let signed = verify(&model, &keys(curve).1, &signature, false).unwrap();
        assert_eq!(signed.files, 3);
        assert!(signed.ignored.contains(&"notes".to_owned()), "{:?}", signed.ignored);
        let other = CURVES[(CURVES.iter().position(|name| *name == curve).unwrap() + 1) % 3];
        let message = message(verify(&model, &keys(other).1, &signature, false));
        assert!(message.contains("it is of another key"), "{message}");
    }
    let file = data().join("official_file.sig");
    assert_eq!(verify(&model.join("a-b"), &keys("p256").1, &file, false).unwrap().files, 1);
    let changed = message(verify(&model.join("a.b"), &keys("p256").1, &file, false));
    assert!(changed.contains("changed: ."), "{changed}");
}

#[test]
fn the_statement_is_the_official_ones() {
    let directory = tempfile::tempdir().unwrap();
    let model = model(directory.path());
    let (private, public) = keys("p256");
    let ours = model.join(SIGNATURE);
    sign(&model, &private, &ours, &[model.join("notes")]).unwrap();
    let official = read(&data().join("official_p256.sig"), &public).unwrap();
    let found = read(&ours, &public).unwrap();
    assert_eq!((found.name, &found.resources), (official.name, &official.resources));
    let order: Vec<String> = found.resources.keys().map(|path| path.join("/")).collect();
    assert_eq!(order, ["a/b", "a-b", "a.b"], "by the parts of paths");
}

#[test]
fn what_was_changed_added_or_removed_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let model = model(directory.path());
    for curve in CURVES {
        let (private, public) = keys(curve);
        let signature = model.join(SIGNATURE);
        let check = |ignore_unsigned| verify(&model, &public, &signature, ignore_unsigned);
        sign(&model, &private, &signature, &[]).unwrap();
        assert_eq!(check(false).unwrap().files, 4);
        fs::write(model.join("a/b"), "other").unwrap();
        fs::write(model.join("new"), "").unwrap();
        fs::rename(model.join("a.b"), directory.path().join("kept")).unwrap();
        let found = message(check(false));
        assert!(found.contains("changed: a/b; missing: a.b; not signed: new"), "{found}");
        let found = message(check(true));
        assert!(found.ends_with("changed: a/b; missing: a.b"), "{found}");
        fs::rename(directory.path().join("kept"), model.join("a.b")).unwrap();
        fs::copy(data().join("model/a/b"), model.join("a/b")).unwrap();
        assert_eq!(check(true).unwrap().files, 4);
        fs::remove_file(model.join("new")).unwrap();
        fs::create_dir(model.join(".git")).unwrap();
        fs::write(model.join(".git/HEAD"), "").unwrap();
        assert_eq!(check(false).unwrap().files, 4, "what belongs to git is not signed");
        fs::remove_dir_all(model.join(".git")).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn links_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let model = model(directory.path());
    let (private, public) = keys("p256");
    let signature = model.join(SIGNATURE);
    sign(&model, &private, &signature, &[]).unwrap();
    fs::remove_file(model.join("a-b")).unwrap();
    std::os::unix::fs::symlink(data().join("model/a-b"), model.join("a-b")).unwrap();
    for found in [
        message(sign(&model, &private, &signature, &[])),
        message(verify(&model, &public, &signature, false)),
        message(verify(&model, &public, &signature, true)),
    ] {
        assert!(found.contains("a-b: expected files and directories, found a symbolic link"), "{found}");
    }
}

#[test]
fn no_byte_of_a_signature_can_be_changed() {
    let directory = tempfile::tempdir().unwrap();
    let model = model(directory.path());
    let (private, public) = keys("p256");
    let signature = model.join(SIGNATURE);
    sign(&model, &private, &signature, &[]).unwrap();
    let whole = fs::read(&signature).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    let start = text.find("\"payload\":\"").unwrap() + 11;
    let end = text.find("\",\"keyid").unwrap();
    for at in (start..end).step_by(97) {
        let mut damaged = whole.clone();
        damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
        fs::write(&signature, damaged).unwrap();
        message(verify(&model, &public, &signature, false));
    }
    for (from, to, expected) in [
        ("bundle.v0.3", "bundle.v0.2", "expected a bundle of"),
        ("vnd.in-toto", "vnd.other", "expected an envelope of"),
        ("publicKey", "certificate", "found one of a certificate"),
        ("hint\":\"", "other\":\"", ""),
    ] {
        fs::write(&signature, text.replace(from, to)).unwrap();
        match verify(&model, &public, &signature, false) {
            Ok(_) => assert_eq!(expected, "", "a key need not be named"),
            Err(error) => assert!(error.to_string().contains(expected), "{error}"),
        }
    }
}

#[test]
fn statements_that_say_too_little_are_refused() {
    let json = |change: &dyn Fn(&mut serde_json::Value)| {
        let statement = Statement {
            name: "m".to_owned(),
            resources: [(vec!["a".to_owned()], [1; 32])].into(),
            ignored: Vec::new(),
        };
        let mut value = serde_json::from_str(&statement.to_json().unwrap()).unwrap();
        change(&mut value);
        Statement::from_json(value.to_string().as_bytes())
    };
    assert!(json(&|_| {}).is_ok());
    type Change = Box<dyn Fn(&mut serde_json::Value)>;
    let resource = |key: &'static str, value: &'static str| -> Change {
        Box::new(move |json| json["predicate"]["resources"][0][key] = value.into())
    };
    let serialization = |key: &'static str, value: serde_json::Value| -> Change {
        Box::new(move |json| json["predicate"]["serialization"][key] = value.clone())
    };
    for (change, expected) in [
        (resource("digest", "00"), "64 hexadecimal digits"),
        (resource("algorithm", "blake2b"), "expected sha256 of a, found blake2b"),
        (resource("name", "../a"), "a path within the model"),
        (resource("name", "/a"), "a path within the model"),
        (resource("name", "a/./b"), "a path within the model"),
        (serialization("method", "shards".into()), "expected whole files"),
        (serialization("hash_type", "blake3".into()), "expected whole files"),
        (serialization("allow_symlinks", true.into()), "following links"),
        (Box::new(|json| json["subject"][0]["digest"]["sha256"] = "00".into()), "have SHA-256 00"),
        (Box::new(|json| json["subject"] = serde_json::json!([])), "expected one subject"),
        (Box::new(|json| json["predicateType"] = "other".into()), "found other"),
        (
            Box::new(|json| {
                let again = json["predicate"]["resources"][0].clone();
                json["predicate"]["resources"] = serde_json::json!([again, again]);
            }),
            "each file once",
        ),
    ] as [(Change, &str); 12]
    {
        let found = json(&change).unwrap_err();
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn keys_of_other_kinds_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    let private = |text: &str| {
        fs::write(&file, text).unwrap();
        message(PrivateKey::load(&file).map(drop))
    };
    let public_text = fs::read_to_string(data().join("test_only_p256.pub")).unwrap();
    assert!(private(&public_text).contains("found a public key"));
    assert!(private("nothing").contains("found none"));
    assert!(
        private("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").contains("another one")
    );
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(private(encrypted).contains("openssl pkey"));
    let private_text = fs::read_to_string(data().join("test_only_p256.pem")).unwrap();
    fs::write(&file, private_text).unwrap();
    assert!(message(PublicKey::load(&file).map(drop)).contains("found a private key"));
    // As `openssl ecparam -genkey` writes them.
    for curve in CURVES {
        let old = PrivateKey::load(&data().join(format!("test_only_{curve}_sec1.pem"))).unwrap();
        assert_eq!(old.public().unwrap().hint(), keys(curve).1.hint());
    }
    // Windows' line ends change no hint.
    fs::write(&file, public_text.replace('\n', "\r\n")).unwrap();
    assert_eq!(PublicKey::load(&file).unwrap().hint(), keys("p256").1.hint());
}

/// A run of two checkpoints.
fn run(path: &Path) {
    let mut config = crate::config::RunConfig { total_timesteps: 128, num_envs: 2, ..Default::default() };
    config.env.id = "CartPole-v1".to_owned();
    config.agent.insert("num_steps".to_owned(), 32.into());
    runtime::train(&Setup::default(), config, path, &mut |_| true).unwrap();
}

#[test]
fn a_policy_is_loaded_only_if_it_is_signed_where_that_is_demanded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run");
    run(&path);
    let (private, _) = keys("p384");
    let demanding = |curve: &str| Setup {
        require_signature: Some(data().join(format!("test_only_{curve}.pub"))),
        ..Setup::default()
    };
    let setup = demanding("p384");
    let load = |setup: &Setup, which| policy::load_which(setup, &path, which).map(drop);
    assert!(message(load(&setup, Which::Newest)).contains("a signature is required"));
    sign(&path, &private, &path.join(SIGNATURE), &[]).unwrap();
    for which in [Which::Newest, Which::Best, Which::Step(128)] {
        load(&setup, which).unwrap();
    }
    assert!(message(load(&demanding("p256"), Which::Newest)).contains("another key"));
    let file = path.join("model.safetensors");
    policy::load_with(&setup, &file).unwrap();
    let mut config =
        crate::config::RunConfig { total_timesteps: 64, num_envs: 2, seed: 2, ..Default::default() };
    config.env.id = "CartPole-v1".to_owned();
    config.agent.insert("num_steps".to_owned(), 32.into());
    config.init_from = Some(path.clone());
    let begin = |name: &str| {
        runtime::train(&setup, config.clone(), &directory.path().join(name), &mut |_| true).map(drop)
    };
    begin("second").unwrap();

    // Not even what cannot be parsed is parsed.
    for name in ["config.toml", "model.safetensors"] {
        let whole = fs::read(path.join(name)).unwrap();
        fs::write(path.join(name), "[[").unwrap();
        let found = message(load(&setup, Which::Newest));
        assert!(found.contains(name) && found.contains("changed after it was signed"), "{found}");
        if name == "model.safetensors" {
            assert!(message(begin("third")).contains("changed after it was signed"));
            assert!(!directory.path().join("third").exists());
        }
        fs::write(path.join(name), whole).unwrap();
    }
    let checkpoint = path.join("checkpoints/step_000000000128.ckpt");
    fs::write(&checkpoint, "[[").unwrap();
    assert!(message(load(&setup, Which::Step(128))).contains("changed after it was signed"));
    load(&setup, Which::Newest).unwrap();
    fs::copy(&file, path.join("unsigned.safetensors")).unwrap();
    let found = message(policy::load_with(&setup, &path.join("unsigned.safetensors")).map(drop));
    assert!(found.contains("is not of this file"), "{found}");
}

#[test]
fn a_signature_may_be_of_one_file_or_of_an_experiment() {
    let directory = tempfile::tempdir().unwrap();
    let experiment = directory.path().join("experiment");
    let path = experiment.join("seed_1");
    run(&path);
    let (private, _) = keys("p521");
    let setup = Setup { require_signature: Some(data().join("test_only_p521.pub")), ..Setup::default() };
    sign(&experiment, &private, &experiment.join(SIGNATURE), &[]).unwrap();
    policy::load_with(&setup, &path).unwrap();
    let file = directory.path().join("policy.safetensors");
    fs::copy(path.join("model.safetensors"), &file).unwrap();
    assert!(message(policy::load_with(&setup, &file).map(drop)).contains("a signature is required"));
    sign(&file, &private, &default_signature(&file), &[]).unwrap();
    assert_eq!(default_signature(&file).file_name().unwrap(), "policy.safetensors.sig");
    policy::load_with(&setup, &file).unwrap();
    // The official tool calls it model.sig.
    fs::rename(default_signature(&file), directory.path().join(SIGNATURE)).unwrap();
    policy::load_with(&setup, &file).unwrap();
}

#[test]
fn a_run_under_way_is_not_signed() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path());
    let (open, _) = RunDirectory::open(directory.path()).unwrap();
    let _lock = open.lock().unwrap();
    let found = message(sign(directory.path(), &keys("p256").0, &directory.path().join(SIGNATURE), &[]));
    assert!(found.contains("another process is running it"), "{found}");
}
