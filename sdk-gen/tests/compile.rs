//! Whether generated code compiles: small clients on top of the checked-in runtimes.
//!
//! Python 3 is required. TypeScript is compiled where `npm ci` was run in `clients/typescript`;
//! elsewhere its own `npm test` is what checks it.

mod contracts;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sdk_gen::plan::Surface;
use sdk_gen::{ir, languages, output::Tree};

const PROJECTS: [(&str, &str); 4] = [
    ("payloads", "test.Store"),
    ("batches", "test.Counter"),
    ("pages", "test.Index"),
    ("values", "test.Options"),
];

/// Prints a project into a directory, beside copies of the runtimes.
fn lay_out(project: &str, service: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("make a directory");
    let model =
        ir::read(&contracts::compile(&contracts::directory().join("projects").join(project))).unwrap();
    let surface = Surface::of(&model, service).unwrap();
    let mut tree = Tree::default();
    languages::print_all(&surface, &mut tree).unwrap();
    tree.write(root.path()).unwrap();
    for runtime in ["clients/typescript/runtime", "clients/python/gyre_api/runtime"] {
        copy(&repository().join(runtime), &root.path().join(runtime));
    }
    root
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Copies the files of a directory, not what is below it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn succeed(command: &mut Command, what: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}:\n{text}");
}

#[test]
fn python_can_be_imported() {
    for (project, service) in PROJECTS {
        let root = lay_out(project, service);
        let package = root.path().join("clients/python");
        fs::write(package.join("gyre_api/__init__.py"), "from .gen.api import ApiClient, AsyncApiClient\n")
            .unwrap();
        let mut python = Command::new("python3");
        python.current_dir(&package).args([
            "-B",
            "-c",
            "import gyre_api; gyre_api.ApiClient('http://localhost')",
        ]);
        succeed(&mut python, project);
    }
}

#[test]
fn typescript_passes_the_type_checker() {
    let modules = fs::canonicalize(repository()).unwrap().join("clients/typescript/node_modules");
    let compiler = modules.join(".bin/tsc");
    if !compiler.exists() {
        eprintln!("not checked: run npm ci in clients/typescript first");
        return;
    }
    for (project, service) in PROJECTS {
        let root = lay_out(project, service);
        let package = root.path().join("clients/typescript");
        let settings = fs::read_to_string(repository().join("clients/typescript/tsconfig.json")).unwrap();
        let types = modules.join("@types");
        let settings = settings.replace(
            "\"types\":",
            &format!("\"typeRoots\": [{:?}],\n    \"types\":", types.display().to_string()),
        );
        fs::write(package.join("tsconfig.json"), settings).unwrap();
        fs::write(package.join("package.json"), "{\"type\": \"module\"}").unwrap();
        succeed(Command::new(&compiler).current_dir(&package).args(["-p", ".", "--noEmit"]), project);
    }
}
