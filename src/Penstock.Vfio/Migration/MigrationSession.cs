namespace Penstock.Vfio;

/// <summary>The time during which a file of migration data is of use. It ends without waiting, so that a reset can end it from anywhere.</summary>
internal sealed class MigrationSession
{
    private volatile bool _ended;

    public bool HasEnded => _ended;

    /// <summary>Held by whoever reads or writes.</summary>
    public object Gate { get; } = new();

    public void End() => _ended = true;

    /// <summary>Does something while nobody reads or writes.</summary>
    public void Serially(Action action)
    {
        lock (Gate)
        {
            action();
        }
    }
}
