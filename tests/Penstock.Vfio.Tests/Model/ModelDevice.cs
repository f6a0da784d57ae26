namespace Penstock.Vfio.Tests.Model;

/// <summary>A device that tells when it is asked to be given back.</summary>
internal sealed class ModelDevice(string name) : BareDevice(name)
{
    private int _open;

    internal ManualResetEventSlim Requested { get; } = new();

    protected internal override void Open() => Assert.Equal(1, Interlocked.Increment(ref _open));

    protected internal override void Close() => Assert.Equal(0, Interlocked.Decrement(ref _open));

    protected internal override void Request(uint round) => Requested.Set();
}
