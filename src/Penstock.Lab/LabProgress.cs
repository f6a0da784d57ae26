namespace Penstock.Lab;

/// <summary>One report of a lab that is being prepared.</summary>
/// <param name="Step">What is being done, for a person to read.</param>
/// <param name="DoneBytes">Bytes downloaded so far in this step, or null for a step that does not download.</param>
/// <param name="TotalBytes">Bytes to download in this step, or null for a step that does not download.</param>
public sealed record LabProgress(string Step, long? DoneBytes = null, long? TotalBytes = null)
{
    /// <summary>The report as one line, with megabytes where bytes are known.</summary>
    /// <returns>The line.</returns>
    public override string ToString() => DoneBytes is { } done && TotalBytes is { } total
        ? string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{Step}: {done / 1e6:F1} of {total / 1e6:F1} MB")
        : Step;
}
