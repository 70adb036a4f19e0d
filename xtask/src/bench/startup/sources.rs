//! A few hundred Java files that a compiler has to think about: generic classes that use each other, lambdas, switches, records.

use anyhow::Result;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Writes them; their paths.
pub fn write(dir: &Path, count: usize) -> Result<Vec<PathBuf>> {
    let package = dir.join("made");
    fs::create_dir_all(&package)?;
    (0..count)
        .map(|number| {
            let path = package.join(format!("Made{number}.java"));
            fs::write(&path, source(number, count))?;
            Ok(path)
        })
        .collect()
}

fn source(number: usize, count: usize) -> String {
    let (left, right) = ((number * 7 + 1) % count, (number * 13 + 5) % count);
    let mut methods = String::new();
    for method in 0..4 {
        methods.push_str(&format!(
            "    public <T extends Comparable<T>> Map<T, List<Integer>> method{method}(Collection<? extends T> given, int depth) {{
        Map<T, List<Integer>> found = new TreeMap<>();
        for (T one : given) {{
            found.computeIfAbsent(one, key -> new ArrayList<>()).add(switch (depth % 4) {{ case 0 -> depth + {method}; case 1 -> one.hashCode(); default -> {number}; }});
        }}
        if (depth > 0) {{
            Supplier<Made{left}> next = Made{left}::new;
            found.putAll(next.get().method{method}(given, depth - 1));
        }}
        found.values().removeIf(list -> list.size() < {method});
        return found;
    }}
"
        ));
    }
    format!(
        "package made;

import java.util.*;
import java.util.function.*;

public class Made{number} {{
    record Pair<A, B>(A first, B second) {{
        <C> Pair<B, C> then(C third) {{ return new Pair<>(second, third); }}
    }}

    private final Map<String, Made{right}> others = new HashMap<>();

{methods}
    public int sum() {{
        return others.values().stream().mapToInt(Made{right}::sum).sum() + new Pair<>(1, \"two\").then(3L).second().intValue();
    }}
}}
"
    )
}
