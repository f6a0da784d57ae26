using Penstock.Vfio;

namespace Penstock.Cli.Bench;

/// <summary>A thread that translates all the time, as a device at work does.</summary>
internal sealed class BenchReader : IDisposable
{
    private readonly DmaPort _port;
    private readonly Thread _thread;
    private long _translations;
    private volatile bool _stop;

    public BenchReader(IommuGroup group, ulong iova)
    {
        _port = new DmaPort(group, new Strand("bench")) { BusMasterEnabled = true };
        _thread = new Thread(() => Run(iova)) { IsBackground = true, Name = "bench reader" };
        _thread.Start();
        SpinWait.SpinUntil(() => Interlocked.Read(ref _translations) != 0);
    }

    public void Dispose()
    {
        _stop = true;
        _thread.Join();
        _port.Strand.Dispose();
    }

    private void Run(ulong iova)
    {
        while (!_stop)
        {
            using DmaScope scope = _port.Enter();
            scope.TryBorrow(iova, 1, DmaAccess.Read, out _);
            Volatile.Write(ref _translations, _translations + 1);
        }
    }
}
