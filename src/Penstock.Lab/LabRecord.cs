namespace Penstock.Lab;

/// <summary>
/// A small file of <c>name=value</c> lines that says what is ready. It is written last and by renaming, so what it names is whole.
/// </summary>
internal static class LabRecord
{
    /// <summary>The record's fields, or null when there is none.</summary>
    public static Dictionary<string, string>? Read(string record)
    {
        if (!File.Exists(record))
        {
            return null;
        }

        var fields = new Dictionary<string, string>();
        foreach (var line in File.ReadAllLines(record))
        {
            if (line.IndexOf('=', StringComparison.Ordinal) is > 0 and var split)
            {
                fields[line[..split]] = line[(split + 1)..];
            }
        }

        return fields;
    }

    public static async Task WriteAsync(string record, Dictionary<string, string> fields, CancellationToken cancellation)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(record)!);
        await File.WriteAllLinesAsync(record + ".part", fields.Select(f => $"{f.Key}={f.Value}"), cancellation).ConfigureAwait(false);
        File.Move(record + ".part", record, overwrite: true);
    }

    public static string[] Words(Dictionary<string, string> record, string field) =>
        record.GetValueOrDefault(field, "").Split(' ', StringSplitOptions.RemoveEmptyEntries);
}
