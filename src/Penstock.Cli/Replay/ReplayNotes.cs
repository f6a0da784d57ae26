namespace Penstock.Cli.Replay;

/// <summary>What a replay has to say beside its result: the first of each kind, and how many more there were. Goes to standard error at the end.</summary>
internal sealed class ReplayNotes
{
    private const int Shown = 3;

    private readonly List<string> _notes = [];
    private readonly Dictionary<string, long> _kinds = [];

    public void Add(string note, string? kind = null)
    {
        long seen = kind is null ? 0 : _kinds.GetValueOrDefault(kind);
        if (kind is not null)
        {
            _kinds[kind] = seen + 1;
        }

        if (seen < Shown)
        {
            _notes.Add(note);
        }
    }

    /// <summary>Whether further notes of a kind are only counted.</summary>
    public bool IsFull(string kind) => _kinds.GetValueOrDefault(kind) >= Shown;

    /// <summary>Counts notes of a kind that is full.</summary>
    public void Count(string kind, long count)
    {
        if (count != 0)
        {
            _kinds[kind] += count;
        }
    }

    public void WriteTo(TextWriter writer)
    {
        foreach (string note in _notes)
        {
            writer.WriteLine($"note: {note}");
        }

        foreach ((string kind, long count) in _kinds.Where(static k => k.Value > Shown))
        {
            writer.WriteLine($"note: {count - Shown} more {kind}");
        }
    }
}
