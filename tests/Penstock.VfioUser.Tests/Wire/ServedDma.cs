namespace Penstock.VfioUser.Tests;

/// <summary>A served function and, once it is asked for, a client that offers it memory; afterwards everything is given back.</summary>
internal sealed class ServedDma : IDisposable
{
    private WireClient? _client;

    public ServedFunction Served { get; } = new();

    public WireClient Client => _client ??= DmaWire.Prepare(Served);

    public void Dispose()
    {
        if (_client is not null)
        {
            _client.Dispose();
            Served.NextEnd();
            Served.AssertBalanced();
        }

        Served.Dispose();
    }
}
