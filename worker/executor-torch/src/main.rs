//! The program `executor-torch`: the executor with libtorch, which `executor` becomes for tasks with `engine: torch-cpu` or `torch-cuda`.

fn main() -> anyhow::Result<()> {
    engines_torch::link();
    executor::main()
}
