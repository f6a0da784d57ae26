using System.Globalization;
using System.Text;

namespace Penstock.Cli.Bench;

/// <summary>Draws the figures of RPCIT and of lazy unmaps as one SVG, both on logarithmic scales.</summary>
internal static class ZpciPlot
{
    private const int Width = 860;
    private const int Height = 360;
    private const int Top = 50;
    private const int Bottom = 300;
    private const int BarsLeft = 70;
    private const int BarsRight = 370;
    private const int LineLeft = 480;
    private const int LineRight = 830;

    /// <param name="pages">Nanoseconds of a page, by mode.</param>
    /// <param name="queues">Nanoseconds of a map and an unmap, by queue size; 0 is strict.</param>
    /// <returns>The picture.</returns>
    public static string Draw(IReadOnlyDictionary<string, double> pages, SortedDictionary<int, double> queues)
    {
        var svg = new StringBuilder();
        Add(svg, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Width}\" height=\"{Height}\" font-family=\"sans-serif\" font-size=\"11\">");
        Add(svg, $"<rect width=\"{Width}\" height=\"{Height}\" fill=\"white\"/>");
        Text(svg, BarsLeft - 50, 22, "RPCIT of one page, ns (map and unmap, median)", "start", bold: true);
        Text(svg, LineLeft - 50, 22, "map and unmap, ns, a device translating (median)", "start", bold: true);
        if (pages.Count != 0)
        {
            Bars(svg, pages);
        }

        if (queues.Count != 0)
        {
            Line(svg, queues);
        }

        Add(svg, $"</svg>");
        return svg.ToString();
    }

    private static void Bars(StringBuilder svg, IReadOnlyDictionary<string, double> pages)
    {
        var scale = new Scale(pages.Values.Min(), pages.Values.Max());
        Axis(svg, scale, BarsLeft, BarsRight);
        double step = (BarsRight - BarsLeft) / (double)pages.Count;
        int i = 0;
        foreach ((string mode, double value) in pages)
        {
            double x = BarsLeft + (step * i++);
            double y = scale.Y(value);
            Add(svg, $"<rect x=\"{x + (step * 0.2):F1}\" y=\"{y:F1}\" width=\"{step * 0.6:F1}\" height=\"{Bottom - y:F1}\" fill=\"#4a7ab0\"/>");
            Text(svg, x + (step / 2), y - 5, value.ToString("F0", CultureInfo.InvariantCulture), "middle");
            string[] words = mode.Split(", ");
            for (int word = 0; word < words.Length; word++)
            {
                Text(svg, x + (step / 2), Bottom + 16 + (13 * word), words[word], "middle");
            }
        }
    }

    private static void Line(StringBuilder svg, SortedDictionary<int, double> queues)
    {
        var scale = new Scale(queues.Values.Min(), queues.Values.Max());
        Axis(svg, scale, LineLeft, LineRight);
        double step = (LineRight - LineLeft) / (double)queues.Count;
        var points = new StringBuilder();
        int i = 0;
        foreach ((int queue, double value) in queues)
        {
            double x = LineLeft + (step * (i + 0.5));
            points.Append(CultureInfo.InvariantCulture, $"{x:F1},{scale.Y(value):F1} ");
            Add(svg, $"<circle cx=\"{x:F1}\" cy=\"{scale.Y(value):F1}\" r=\"3\" fill=\"#b0574a\"/>");
            if (i % 2 == 0)
            {
                Text(svg, x, Bottom + 16, queue == 0 ? "strict" : queue.ToString(CultureInfo.InvariantCulture), "middle");
            }

            i++;
        }

        Add(svg, $"<polyline points=\"{points.ToString().TrimEnd()}\" fill=\"none\" stroke=\"#b0574a\"/>");
        Text(svg, (LineLeft + LineRight) / 2.0, Bottom + 36, "unmaps in the queue", "middle");
    }

    private static void Axis(StringBuilder svg, Scale scale, int left, int right)
    {
        Add(svg, $"<path d=\"M{left} {Top}V{Bottom}H{right}\" fill=\"none\" stroke=\"black\"/>");
        for (double at = scale.Least; at <= scale.Most * 1.001; at *= 10)
        {
            Add(svg, $"<path d=\"M{left} {scale.Y(at):F1}H{right}\" stroke=\"#ddd\"/>");
            Text(svg, left - 6, scale.Y(at) + 4, at.ToString("F0", CultureInfo.InvariantCulture), "end");
        }
    }

    private static void Text(StringBuilder svg, double x, double y, string text, string anchor, bool bold = false) =>
        Add(svg, $"<text x=\"{x:F1}\" y=\"{y:F1}\" text-anchor=\"{anchor}\"{(bold ? " font-weight=\"bold\"" : "")}>{text}</text>");

    private static void Add(StringBuilder svg, FormattableString text) => svg.Append(text.ToString(CultureInfo.InvariantCulture)).Append('\n');

    /// <summary>A logarithmic scale between powers of ten.</summary>
    private readonly struct Scale(double least, double most)
    {
        public double Least { get; } = Math.Pow(10, Math.Floor(Math.Log10(least)));

        public double Most { get; } = Math.Pow(10, Math.Ceiling(Math.Log10(most)));

        public double Y(double value) => Bottom - ((Bottom - Top) * Math.Log10(value / Least) / Math.Max(1, Math.Log10(Most / Least)));
    }
}
