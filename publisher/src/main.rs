//! The `packice` binary.

fn main() -> std::process::ExitCode {
    packice::cli::run()
}
