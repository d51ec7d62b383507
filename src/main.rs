//! scratch
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    let mut t = toml::Table::new();
    for a in std::env::args().skip(2) { agon::config::set(&mut t, &a).unwrap(); }
    let c = agon::config::RunConfig::from_table(t).unwrap();
    let p = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let mut solved = None;
    let r = agon::runtime::train(&Default::default(), c, &p, &mut |p| { if solved.is_none() && p.mean_return >= 475.0 { solved = Some((p.env_steps, p.seconds)); } true });
    println!("{r:?} {solved:?}");
    if let Ok(o) = r { println!("{:.0} steps/s", o.env_steps as f64 / o.seconds); }
}
