//! The table of apps: as many columns as the width allows, the least important left out first.

use ratatui::layout::{Alignment, Constraint};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Row, Table};

use super::ShownMinute;
use super::numbers::{count, decimal, duration};
use crate::snapshot::{AppRow, Minute};

const SPACING: u16 = 1;
const LEAST_NAME_WIDTH: u16 = 14;
const MOST_NAME_WIDTH: u16 = 24;
const LEAST_ERRORS_WIDTH: u16 = 10;

/// Service times from which on a figure is coloured, in milliseconds.
const SLOW_MS: f64 = 1_000.0;
const VERY_SLOW_MS: f64 = 10_000.0;

/// The columns, from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Name,
    Requests,
    OtherRequests,
    P50,
    P95,
    P99,
    Max,
    /// Requests by the first digit of their status: 2 to 5.
    Class(usize),
    Load,
    Memory,
    Errors,
}

impl Column {
    const ALL: [Self; 14] = [
        Self::Name,
        Self::Requests,
        Self::OtherRequests,
        Self::P50,
        Self::P95,
        Self::P99,
        Self::Max,
        Self::Class(2),
        Self::Class(3),
        Self::Class(4),
        Self::Class(5),
        Self::Load,
        Self::Memory,
        Self::Errors,
    ];

    /// Columns that are left out if the width does not suffice, in this order. The others are always shown.
    const DISPENSABLE: [Self; 12] = [
        Self::OtherRequests,
        Self::Class(3),
        Self::P50,
        Self::Memory,
        Self::Load,
        Self::Max,
        Self::Class(2),
        Self::Class(4),
        Self::Errors,
        Self::P99,
        Self::Class(5),
        Self::P95,
    ];

    fn title(self, shown: ShownMinute) -> String {
        match self {
            Self::Name => "app".to_owned(),
            Self::Requests => "req".to_owned(),
            Self::OtherRequests if shown == ShownMinute::Running => "prev".to_owned(),
            Self::OtherRequests => "now".to_owned(),
            Self::P50 => "p50".to_owned(),
            Self::P95 => "p95".to_owned(),
            Self::P99 => "p99".to_owned(),
            Self::Max => "max".to_owned(),
            Self::Class(class) => format!("{class}xx"),
            Self::Load => "load".to_owned(),
            Self::Memory => "mem".to_owned(),
            Self::Errors => "errors".to_owned(),
        }
    }

    fn least_width(self) -> u16 {
        match self {
            Self::Name => LEAST_NAME_WIDTH,
            Self::Errors => LEAST_ERRORS_WIDTH,
            _ => 4,
        }
    }

    fn is_text(self) -> bool {
        matches!(self, Self::Name | Self::Errors)
    }
}

/// Returns the columns for a table of this width, with their widths.
fn columns(width: u16) -> Vec<(Column, u16)> {
    let mut columns = Column::ALL.to_vec();
    for left_out in Column::DISPENSABLE {
        if least_width(&columns) <= width {
            break;
        }
        columns.retain(|&column| column != left_out);
    }
    let spare = width.saturating_sub(least_width(&columns));
    let for_name = spare.min(MOST_NAME_WIDTH - LEAST_NAME_WIDTH);
    let with_width = |column: Column| match column {
        Column::Name => (column, LEAST_NAME_WIDTH + for_name),
        Column::Errors => (column, LEAST_ERRORS_WIDTH + spare - for_name),
        _ => (column, column.least_width()),
    };
    columns.into_iter().map(with_width).collect()
}

fn least_width(columns: &[Column]) -> u16 {
    columns.iter().map(|column| column.least_width() + SPACING).sum::<u16>() - SPACING
}

/// Returns the table of `rows` for this width, for the minute `shown`.
pub(super) fn table(rows: &[AppRow], shown: ShownMinute, width: u16) -> Table<'static> {
    let columns = columns(width);
    let header = columns.iter().map(|&(column, _)| aligned(column, column.title(shown), Style::new()));
    let header = Row::new(header).style(Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED));
    let rows = rows.iter().map(|row| {
        Row::new(columns.iter().map(|&(column, width)| {
            let (text, style) = cell(column, row, shown, width.into());
            aligned(column, text, style)
        }))
    });
    let rows: Vec<Row<'static>> = rows.collect();
    let widths = columns.iter().map(|&(_, width)| Constraint::Length(width));
    Table::new(rows, widths).header(header).column_spacing(SPACING)
}

fn aligned(column: Column, text: String, style: Style) -> Cell<'static> {
    let alignment = if column.is_text() { Alignment::Left } else { Alignment::Right };
    Cell::new(Text::from(Line::from(text).alignment(alignment))).style(style)
}

fn cell(column: Column, row: &AppRow, shown: ShownMinute, width: usize) -> (String, Style) {
    let (minute, other) = match shown {
        ShownMinute::Running => (&row.running, &row.previous),
        ShownMinute::Previous => (&row.previous, &row.running),
    };
    let plain = |text: Option<String>| (text.unwrap_or_default(), Style::new());
    match column {
        Column::Name => plain(Some(name(row, minute, width))),
        Column::Requests => plain(minute.requests.map(count)),
        Column::OtherRequests => {
            (other.requests.map(count).unwrap_or_default(), Style::new().fg(Color::DarkGray))
        }
        Column::P50 => time(minute.p50_ms),
        Column::P95 => time(minute.p95_ms),
        Column::P99 => time(minute.p99_ms),
        Column::Max => time(minute.max_ms),
        Column::Class(class) => class_cell(minute, class),
        Column::Load => plain(minute.load_mean.map(decimal)),
        Column::Memory => memory(minute),
        Column::Errors => (errors(minute), Style::new().fg(Color::Yellow)),
    }
}

/// Returns the name, cut to `width`, with the mark of an incomplete minute.
fn name(row: &AppRow, minute: &Minute, width: usize) -> String {
    let mark = if minute.is_incomplete { "*" } else { "" };
    let room = width - mark.len();
    if row.name.chars().count() <= room {
        return format!("{}{mark}", row.name);
    }
    let cut: String = row.name.chars().take(room - 1).collect();
    format!("{cut}…{mark}")
}

fn time(value_ms: Option<f64>) -> (String, Style) {
    let style = match value_ms {
        Some(value_ms) if value_ms >= VERY_SLOW_MS => Style::new().fg(Color::Red),
        Some(value_ms) if value_ms >= SLOW_MS => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    };
    (value_ms.map(duration).unwrap_or_default(), style)
}

fn class_cell(minute: &Minute, class: usize) -> (String, Style) {
    if minute.requests.is_none() {
        return (String::new(), Style::new());
    }
    let requests = minute.by_class[class - 1];
    let is_failure = class == 5 && requests > 0;
    (count(requests), if is_failure { Style::new().fg(Color::Red) } else { Style::new() })
}

/// Returns the mean memory as a share of the quota.
fn memory(minute: &Minute) -> (String, Style) {
    let (Some(mean_mb), Some(quota_mb)) = (minute.memory_mean_mb, minute.memory_quota_mb) else {
        return (String::new(), Style::new());
    };
    let is_over = mean_mb > quota_mb;
    let style = if is_over { Style::new().fg(Color::Red) } else { Style::new() };
    (format!("{:.0}%", 100.0 * mean_mb / quota_mb), style)
}

/// Returns errors as `H12:34 R14:2`, the most frequent first.
fn errors(minute: &Minute) -> String {
    let mut errors: Vec<(&String, &u64)> = minute.errors.iter().collect();
    errors.sort_by_key(|&(_, &occurrences)| std::cmp::Reverse(occurrences));
    let errors: Vec<String> =
        errors.into_iter().map(|(code, &occurrences)| format!("{code}:{}", count(occurrences))).collect();
    errors.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eighty_columns_hold_all_but_the_other_minute() {
        let shown: Vec<Column> = columns(80).into_iter().map(|(column, _)| column).collect();
        let expected: Vec<Column> =
            Column::ALL.into_iter().filter(|&column| column != Column::OtherRequests).collect();
        assert_eq!(shown, expected);
        assert_eq!(columns(85).len(), Column::ALL.len());
    }

    #[test]
    fn columns_fill_the_width_exactly_where_there_is_room() {
        for width in 80..300 {
            let columns = columns(width);
            let used: u16 = columns.iter().map(|(_, width)| width + SPACING).sum::<u16>() - SPACING;
            assert_eq!(used, width);
        }
        let least: Vec<Column> = columns(0).into_iter().map(|(column, _)| column).collect();
        assert_eq!(least, [Column::Name, Column::Requests]);
    }
}
