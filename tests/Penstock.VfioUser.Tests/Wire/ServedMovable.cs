namespace Penstock.VfioUser.Tests;

/// <summary>A device that can be migrated, served, with a client that has enabled it.</summary>
internal sealed class ServedMovable : IDisposable
{
    public ServedMovable()
    {
        Served = new ServedFunction(function: Function);
        Client = Served.ConnectEnabled();
    }

    public MovableFunction Function { get; } = new();

    public ServedFunction Served { get; }

    public WireClient Client { get; }

    public void Dispose()
    {
        Client.Dispose();
        Served.Dispose();
    }
}
