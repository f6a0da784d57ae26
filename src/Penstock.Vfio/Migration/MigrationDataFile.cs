using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>
/// A file of migration data: a stream that is read while the device is saved, or written while it is loaded. It is dead once that has
/// ended. All members may be called from any thread; reads and writes are done one at a time.
/// </summary>
public sealed class MigrationDataFile : IDisposable
{
    private readonly string _device;
    private readonly MigrationSource? _source;
    private readonly MigrationTarget? _target;
    private readonly Func<MigrationState> _state;
    private readonly Func<bool> _restartsAllowed;
    private volatile bool _closed;

    /// <summary>Begins a file to read from.</summary>
    /// <param name="device">Name of the device, for errors.</param>
    /// <param name="source">What is read.</param>
    /// <param name="state">Tells the device's state.</param>
    /// <param name="restartsAllowed">Tells whether the user understands that the state may begin anew.</param>
    public MigrationDataFile(string device, MigrationSource source, Func<MigrationState> state, Func<bool> restartsAllowed)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(state);
        ArgumentNullException.ThrowIfNull(restartsAllowed);
        _device = device;
        _source = source;
        _state = state;
        _restartsAllowed = restartsAllowed;
    }

    /// <summary>Begins a file to write to.</summary>
    /// <param name="device">Name of the device, for errors.</param>
    /// <param name="target">What is written.</param>
    public MigrationDataFile(string device, MigrationTarget target)
    {
        ArgumentNullException.ThrowIfNull(target);
        _device = device;
        _target = target;
        target.Session = Session;
        _state = static () => MigrationState.Resuming;
        _restartsAllowed = static () => false;
    }

    /// <summary>Whether a read that would have to wait is refused with EAGAIN instead.</summary>
    public bool NonBlocking { get; set; }

    /// <summary>Whether the session that it belonged to has ended.</summary>
    public bool IsDead => Session.HasEnded;

    internal MigrationSession Session { get; } = new();

    /// <summary>Reads what comes next.</summary>
    /// <param name="destination">Where to.</param>
    /// <param name="read">How much was read; with None, 0 means the end of the data.</param>
    /// <returns>
    /// None; ENOMSG: the device still works and has nothing new; EAGAIN: nothing yet; ENODEV: the session has ended; EBADF: closed, or
    /// a file to write to; EIO: the device failed.
    /// </returns>
    public Errno Read(Span<byte> destination, out int read)
    {
        read = 0;
        if (_source is null || _closed)
        {
            return Errno.EBADF;
        }

        lock (Session.Gate)
        {
            while (true)
            {
                if (Session.HasEnded || _closed)
                {
                    return _closed ? Errno.EBADF : Errno.ENODEV;
                }

                Errno errno = destination.IsEmpty ? Errno.None : ReadSource(destination, out read);
                if (errno != Errno.EAGAIN || NonBlocking)
                {
                    return errno;
                }

                // Sources say nothing when something has come, so look again.
                Monitor.Wait(Session.Gate, TimeSpan.FromMilliseconds(1));
            }
        }
    }

    /// <summary>Writes what comes next.</summary>
    /// <param name="source">The bytes.</param>
    /// <param name="written">How many were taken.</param>
    /// <returns>
    /// None; EINVAL: they cannot be part of such a device's state; ENODEV: the session has ended; EBADF: closed, or a file to read
    /// from; EIO: the device failed.
    /// </returns>
    public Errno Write(ReadOnlySpan<byte> source, out int written)
    {
        written = 0;
        if (_target is null || _closed)
        {
            return Errno.EBADF;
        }

        lock (Session.Gate)
        {
            if (Session.HasEnded)
            {
                return Errno.ENODEV;
            }

            Errno errno;
            try
            {
                errno = _target.Write(source);
            }
            catch (Exception)
            {
                return Errno.EIO;
            }

            written = errno == Errno.None ? source.Length : 0;
            return errno;
        }
    }

    /// <summary>A read at a position; the file is a stream and has none.</summary>
    /// <param name="destination">Not touched.</param>
    /// <param name="position">Any.</param>
    /// <returns>ESPIPE; EBADF: closed.</returns>
    public Errno Read(Span<byte> destination, ulong position) => _closed ? Errno.EBADF : Errno.ESPIPE;

    /// <summary>A write at a position; the file is a stream and has none.</summary>
    /// <param name="source">Not touched.</param>
    /// <param name="position">Any.</param>
    /// <returns>ESPIPE; EBADF: closed.</returns>
    public Errno Write(ReadOnlySpan<byte> source, ulong position) => _closed ? Errno.EBADF : Errno.ESPIPE;

    /// <summary>How much can be read before the device is stopped (MIG_GET_PRECOPY_INFO).</summary>
    /// <param name="flags">Flags as the caller has them; changed only for users that have set feature 12.</param>
    /// <returns>Initial and dirty bytes.</returns>
    /// <exception cref="VfioException">ENODEV: the session has ended; EINVAL: the device is not in PRE_COPY or PRE_COPY_P2P; ENOTTY: a file to write to.</exception>
    public (ulong Initial, ulong Dirty) GetPrecopyInfo(ref VfioPrecopyFlags flags)
    {
        string what = $"MIG_GET_PRECOPY_INFO of {_device}";
        if (_source is null)
        {
            throw new VfioException(Errno.ENOTTY, what, "the file is written, not read");
        }

        lock (Session.Gate)
        {
            if (Session.HasEnded || _closed)
            {
                throw new VfioException(_closed ? Errno.EBADF : Errno.ENODEV, what, "the session has ended");
            }

            if (_state() is not (MigrationState.PreCopy or MigrationState.PreCopyP2P))
            {
                throw new VfioException(Errno.EINVAL, what, "the device has been stopped");
            }

            if (_restartsAllowed())
            {
                flags = _source.TakeRestart() ? VfioPrecopyFlags.Restart : VfioPrecopyFlags.None;
            }

            return (_source.InitialBytes, _source.DirtyBytes);
        }
    }

    /// <summary>A call with the kernel's number and structure, which is answered in place.</summary>
    /// <param name="request">The number: <see cref="VfioPrecopyInfo.Request"/>.</param>
    /// <param name="argument">The structure.</param>
    /// <returns>0.</returns>
    /// <exception cref="VfioException">ENOTTY: another number; EINVAL: too short; as <see cref="GetPrecopyInfo"/>.</exception>
    public int Ioctl(uint request, Span<byte> argument)
    {
        if (request != VfioPrecopyInfo.Request || _source is null)
        {
            throw new VfioException(Errno.ENOTTY, $"request 0x{request:x}", $"the migration data of {_device} do not know it");
        }

        VfioPrecopyInfo info = Arguments.TakeIgnoringRest<VfioPrecopyInfo>("MIG_GET_PRECOPY_INFO", argument, VfioPrecopyInfo.Length);
        (info.InitialBytes, info.DirtyBytes) = GetPrecopyInfo(ref info.Flags);
        Arguments.Put(argument, info);
        return 0;
    }

    /// <summary>Ends the session, as a driver that keeps its own states does when the device leaves them: every later call fails with ENODEV.</summary>
    public void End() => Session.End();

    /// <summary>Closes the file. The session goes on without it.</summary>
    public void Dispose() => _closed = true;

    private Errno ReadSource(Span<byte> destination, out int read)
    {
        read = 0;
        try
        {
            return _source!.Read(destination, out read);
        }
        catch (Exception)
        {
            return Errno.EIO;
        }
    }
}
