using Penstock.Interop;

namespace Penstock.Vfio.Tests;

/// <summary>Ten initial bytes, then what a test queues, then three final bytes.</summary>
internal sealed class ScriptedSource : MigrationSource
{
    private int _initial = 10;
    private int _final = 3;

    public bool Stopped { get; set; }

    public bool Restart { get; set; }

    public bool Later { get; set; }

    public int Dirty { get; set; }

    public override ulong InitialBytes => (ulong)_initial;

    public override ulong DirtyBytes => (ulong)Dirty;

    public override Errno Read(Span<byte> destination, out int read)
    {
        read = 0;
        if (_initial != 0)
        {
            read = Math.Min(_initial, destination.Length);
            _initial -= read;
        }
        else if (Dirty != 0)
        {
            read = Math.Min(Dirty, destination.Length);
            Dirty -= read;
        }
        else if (Stopped)
        {
            read = Math.Min(_final, destination.Length);
            _final -= read;
        }
        else
        {
            return Later ? Errno.EAGAIN : Errno.ENOMSG;
        }

        destination[..read].Fill(0xa5);
        return Errno.None;
    }

    public override void DeviceStopped() => Stopped = true;

    public override bool TakeRestart()
    {
        bool restart = Restart;
        if (restart)
        {
            _initial = 20;
            Dirty = 0;
            Restart = false;
        }

        return restart;
    }
}
