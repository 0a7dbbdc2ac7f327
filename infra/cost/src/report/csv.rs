//! The lines of the month's bill as CSV, for a spreadsheet: one line a use case, function and unit.

use super::Report;

impl Report {
    /// The month's bill as CSV with a header.
    ///
    /// # Errors
    /// If it cannot be written into memory.
    pub fn to_csv(&self) -> Result<String, csv::Error> {
        let mut out = csv::Writer::from_writer(Vec::new());
        out.write_record([
            "use_case", "function", "service", "unit", "quantity", "dollars", "planned",
        ])?;
        for line in &self.month.lines {
            out.write_record([
                line.use_case,
                line.function.as_deref().unwrap_or_default(),
                line.service,
                line.item.label(),
                &line.quantity.to_string(),
                &line.dollars.to_string(),
                if line.planned { "yes" } else { "no" },
            ])?;
        }
        let bytes = out
            .into_inner()
            .map_err(|error| csv::Error::from(error.into_error()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use crate::{report::Report, testing::model};

    #[test]
    fn the_lines_of_the_file_add_up_to_the_bill() {
        let report = Report::of(&model(), &[]).unwrap();
        let csv = report.to_csv().unwrap();
        let mut lines = csv::Reader::from_reader(csv.as_bytes());
        assert_eq!(lines.headers().unwrap().get(5), Some("dollars"));
        let dollars = lines
            .records()
            .map(|line| line.unwrap()[5].parse::<f64>().unwrap());
        assert!((dollars.sum::<f64>() - report.month.total).abs() < 1e-6);
    }
}
