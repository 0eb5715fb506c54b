//! Columns for people: as wide as what stands in them, nothing after the last one.

/// Rows of cells, printed with two spaces between the columns.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows
            .push(cells.map(|cell| cell.replace(char::is_control, " ")).to_vec());
    }

    /// The lines, without a line end after the last.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_a_cell_stays_in_its_line() {
        let mut table = Table::default();
        table.row(["id", "status", ""]);
        table.row(["run_1", "ö\nk", "x"]);
        assert_eq!(table.text(), "id     status\nrun_1  ö k     x");
    }
}
