//! The page, as part of the program.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// Names, types and contents.
macro_rules! assets {
    ($($kind:ident $($name:literal)+;)+) => {
        [$($(($name, $kind, include_str!(concat!("page/", $name)))),+),+]
    };
}

const ASSETS: &[(&str, &str, &str)] = &assets! {
    HTML "index.html";
    PICTURE "icon.svg";
    STYLE "style.css" "vendor/uplot.css";
    SCRIPT "main.js" "server.js" "view.js" "list.js" "charts.js" "chart.js" "format.js" "details.js" "compare.js" "sweep.js" "pane.js" "replay.js" "vendor/uplot.js";
};

/// The page itself.
pub(super) async fn page() -> Response {
    asset(Path("index.html".to_owned())).await
}

/// A file that it is made of.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(found, _, _)| *found == name) {
        Some((_, kind, text)) => {
            ([(CONTENT_TYPE, *kind), (CACHE_CONTROL, "no-cache")], *text).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_nothing_that_is_not_part_of_it() {
        let has = |name: &str| ASSETS.iter().any(|(found, _, _)| *found == name);
        for (name, _, text) in ASSETS.iter().filter(|(name, _, _)| !name.starts_with("vendor/")) {
            for part in text.split("\"/assets/").skip(1) {
                let asset = part.split('"').next().unwrap();
                assert!(has(asset), "{name} names {asset}");
            }
            for part in text.split("from \"./").skip(1) {
                let module = part.split('"').next().unwrap();
                assert!(has(module), "{name} imports {module}");
            }
            let links: Vec<&str> = text
                .split("//")
                .skip(1)
                .filter(|rest| rest.starts_with("cdn") || rest.starts_with("fonts"))
                .collect();
            assert!(links.is_empty(), "{name} loads from elsewhere: {links:?}");
            assert!(text.lines().count() <= 400, "{name} has more than 400 lines");
            assert!(
                !text.contains(" style=\"") && !text.contains("<script>"),
                "{name} has styles or scripts in its lines"
            );
        }
    }
}
