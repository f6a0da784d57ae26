using System.Text;

namespace Penstock.Cli;

/// <summary>A plain table: columns as wide as their contents, never wrapped, so that it reads the same in a file as on a terminal.</summary>
internal sealed class TextTable(params TextTable.Column[] columns)
{
    private const string Gap = "  ";
    private readonly List<string[]> _rows = [];

    public void Add(params string[] cells) => _rows.Add(cells);

    public override string ToString()
    {
        string[] titles = [.. columns.Select(c => c.Title)];
        int[] widths = [.. columns.Select((c, i) => _rows.Append(titles).Max(row => row[i].Length))];
        var text = new StringBuilder();
        foreach (string[] row in _rows.Prepend(titles))
        {
            IEnumerable<string> cells = row.Select((cell, i) => columns[i].Right ? cell.PadLeft(widths[i]) : cell.PadRight(widths[i]));
            text.AppendLine(string.Join(Gap, cells).TrimEnd());
        }

        return text.ToString().TrimEnd();
    }

    /// <param name="Title">What stands above it.</param>
    /// <param name="Right">Whether its cells end at its right edge, as numbers do.</param>
    internal readonly record struct Column(string Title, bool Right = false);
}
