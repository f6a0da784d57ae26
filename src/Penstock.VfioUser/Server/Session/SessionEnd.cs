namespace Penstock.VfioUser;

/// <summary>How a session ended.</summary>
/// <param name="Kind">The kind of end.</param>
/// <param name="Reason">One sentence for the log.</param>
public readonly record struct SessionEnd(SessionEndKind Kind, string Reason)
{
    /// <summary>Whether this is how sessions normally end.</summary>
    public bool IsExpected => Kind is SessionEndKind.ClientClosed or SessionEndKind.Stopped;

    /// <inheritdoc/>
    public override string ToString() => $"{Kind}: {Reason}";
}
