//! Says which engines this machine has: a program without libtorch among its libraries.

fn main() {
    for info in engines::probe() {
        match (&info.version, &info.error) {
            (Some(version), _) => println!("{} {version} {:?}", info.name, info.path),
            (None, Some(error)) => println!("{}: {error}", info.name),
            (None, None) => println!("{}", info.name),
        }
    }
    println!("cpu: {}", engines::cpu_features().join(" "));
}
