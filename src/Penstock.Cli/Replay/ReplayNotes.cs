namespace Penstock.Cli.Replay;

/// <summary>What a replay has to say beside its result: the first of each kind, and how many more there were. Goes to standard error at the end.</summary>
internal sealed class ReplayNotes
{
    private const int Shown = 3;

    private readonly List<string> _notes = [];
    private readonly Dictionary<string, int> _kinds = [];

    public void Add(string note, string? kind = null)
    {
        int seen = kind is null ? 0 : _kinds.GetValueOrDefault(kind);
        if (kind is not null)
        {
            _kinds[kind] = seen + 1;
        }

        if (seen < Shown)
        {
            _notes.Add(note);
        }
    }

    public void WriteTo(TextWriter writer)
    {
        foreach (string note in _notes)
        {
            writer.WriteLine($"note: {note}");
        }

        foreach ((string kind, int count) in _kinds.Where(static k => k.Value > Shown))
        {
            writer.WriteLine($"note: {count - Shown} more {kind}");
        }
    }
}
