using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// Blocks in a regular file, through the page cache; <see cref="Flush"/> is fdatasync. The file is locked while it is in use, so that two
/// servers cannot write it at once: exclusively, or shared by those who only read.
/// </summary>
public sealed class FileNvmeBacking : INvmeBacking
{
    private const int ZeroPart = 64 << 10;

    private readonly OwnedDescriptor _descriptor;
    private readonly string _path;

    /// <summary>What a file is filled with where the file system cannot make zeroes by itself.</summary>
    private readonly byte[] _zeroes = new byte[ZeroPart];

    private volatile Use _use;
    private volatile bool _cannotZeroRange;
    private long _flushes;
    private int _flushFailure;

    private FileNvmeBacking(OwnedDescriptor descriptor, string path, ulong length, bool readOnly, Use use)
    {
        _descriptor = descriptor;
        _path = path;
        Length = length;
        IsReadOnly = readOnly;
        _use = use;

        // Beyond the end of the file there is nothing to lose.
        CanDeallocate = !readOnly && DescriptorStorage.PunchHole(descriptor.Value, length, 1) == Errno.None;
    }

    /// <summary>Who has the lock.</summary>
    private enum Use
    {
        /// <summary>Another process, as far as is known; each transfer tries to get it.</summary>
        Awaited,

        /// <summary>This object.</summary>
        Active,

        /// <summary>Whoever wants it; transfers are refused.</summary>
        Released,
    }

    /// <inheritdoc/>
    public ulong Length { get; }

    /// <inheritdoc/>
    public bool IsReadOnly { get; }

    /// <inheritdoc/>
    public bool MayBlock => true;

    /// <inheritdoc/>
    public bool CanDeallocate { get; }

    /// <inheritdoc/>
    public long FlushCount => Interlocked.Read(ref _flushes);

    /// <inheritdoc/>
    public string Description => $"{_path}, {Length} bytes{(IsReadOnly ? ", read-only" : "")}{(_use == Use.Active ? "" : ", not in use")}";

    /// <summary>Opens an image.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="blockSize">Its size must be a multiple of this, in bytes.</param>
    /// <param name="readOnly">Whether to refuse writes; then it need not be writable.</param>
    /// <param name="createLength">
    /// Makes the image with this size if it is not there or empty: a file that takes no room yet. If it is there its size must be this.
    /// Null: it must be there.
    /// </param>
    /// <param name="awaited">Whether another process has it still, as the source of a migration: the lock is taken at the first transfer.</param>
    /// <param name="ledger">Where the descriptor is counted, if anywhere.</param>
    /// <returns>The backing.</returns>
    /// <exception cref="VfioException">
    /// EBUSY: another process has the image. EINVAL: it is no regular file, empty, or its size does not fit. Otherwise the errno of open(2).
    /// </exception>
    public static FileNvmeBacking Open(
        string path, int blockSize = 512, bool readOnly = false, ulong? createLength = null, bool awaited = false, ResourceLedger? ledger = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentOutOfRangeException.ThrowIfLessThan(blockSize, 1);
        CheckLength(path, createLength ?? (ulong)blockSize, blockSize);
        OwnedDescriptor descriptor = OpenOrCreate(path, readOnly, createLength is not null && !awaited, ledger);
        try
        {
            FileFacts facts = FileFacts.Of(descriptor.Value);
            if (!facts.IsRegular)
            {
                throw Refused(path, Errno.EINVAL, "it is not a regular file; give the path of a disk image");
            }

            if (!awaited)
            {
                Errno locked = DescriptorStorage.TryLock(descriptor.Value, exclusive: !readOnly);
                if (locked != Errno.None)
                {
                    throw locked == Errno.EAGAIN
                        ? Refused(path, Errno.EBUSY, "another server has it in use; end that first, or use another image (the destination of a migration waits for it)")
                        : Refused(path, locked, "it cannot be locked, so a second server could destroy it; put it on a file system that has locks");
                }
            }

            ulong length = FileFacts.Of(descriptor.Value).Size;
            if (createLength is ulong wanted && wanted != length)
            {
                if (length != 0 || readOnly || awaited)
                {
                    throw Refused(path, Errno.EINVAL, $"it has {length} bytes, not {wanted}; leave the size out to take it as it is, or name a file that is not there to have it made");
                }

                length = Size(descriptor, path, wanted);
            }

            CheckLength(path, length, blockSize);
            return new FileNvmeBacking(descriptor, path, length, readOnly, awaited ? Use.Awaited : Use.Active);
        }
        catch (SystemCallException e)
        {
            descriptor.Dispose();
            throw Refused(path, e.Errno, e.Message);
        }
        catch
        {
            descriptor.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public Errno Read(ulong offset, Span<byte> destination)
    {
        if (Check(offset, (ulong)destination.Length) is var wrong and not Errno.None)
        {
            return wrong;
        }

        Errno error = DescriptorIO.ReadAt(_descriptor.Value, offset, destination, out int transferred);

        // A file that somebody has made shorter has lost blocks.
        return error == Errno.None && transferred < destination.Length ? Errno.EIO : error;
    }

    /// <inheritdoc/>
    public Errno Write(ulong offset, ReadOnlySpan<byte> source)
    {
        if (CheckWrite(offset, (ulong)source.Length) is var wrong and not Errno.None)
        {
            return wrong;
        }

        return CheckEnd(offset + (ulong)source.Length) is var cut and not Errno.None
            ? cut
            : DescriptorIO.WriteAt(_descriptor.Value, offset, source, out _);
    }

    /// <inheritdoc/>
    public Errno Zero(ulong offset, ulong length, bool deallocate)
    {
        if (CheckWrite(offset, length) is var wrong and not Errno.None)
        {
            return wrong;
        }

        if (length == 0)
        {
            return Errno.None;
        }

        if (CheckEnd(offset + length) is var cut and not Errno.None)
        {
            return cut;
        }

        int descriptor = _descriptor.Value;
        if (deallocate && CanDeallocate)
        {
            return DescriptorStorage.PunchHole(descriptor, offset, length);
        }

        if (!_cannotZeroRange)
        {
            Errno zeroed = DescriptorStorage.ZeroRange(descriptor, offset, length);
            if (zeroed is not (Errno.EOPNOTSUPP or Errno.ENOSYS or Errno.EINVAL))
            {
                return zeroed;
            }

            _cannotZeroRange = true;
        }

        Errno error = Errno.None;
        for (ulong done = 0; done < length && error == Errno.None;)
        {
            int part = (int)Math.Min(length - done, ZeroPart);
            error = DescriptorIO.WriteAt(descriptor, offset + done, _zeroes.AsSpan(0, part), out _);
            done += (ulong)part;
        }

        return error;
    }

    /// <inheritdoc/>
    public Errno Flush()
    {
        if (Check(0, 0) is var wrong and not Errno.None)
        {
            return wrong;
        }

        Errno error = DescriptorStorage.SyncData(_descriptor.Value);

        // What was behind the end of a file that was cut is lost, and may have been written before this.
        error = error == Errno.None ? CheckEnd(Length) : error;
        if (error != Errno.None)
        {
            // The kernel drops what it could not write and tells it once; a second fdatasync would succeed and lie.
            Interlocked.CompareExchange(ref _flushFailure, (int)error, 0);
        }

        error = (Errno)Volatile.Read(ref _flushFailure);
        if (error == Errno.None)
        {
            Interlocked.Increment(ref _flushes);
        }

        return error;
    }

    /// <inheritdoc/>
    public Errno Activate()
    {
        if (_use == Use.Active)
        {
            return Errno.None;
        }

        Errno error = DescriptorStorage.TryLock(_descriptor.Value, exclusive: !IsReadOnly);
        _use = error == Errno.None ? Use.Active : Use.Awaited;
        return error == Errno.EAGAIN ? Errno.EBUSY : error;
    }

    /// <inheritdoc/>
    public void Deactivate()
    {
        _use = Use.Released;
        DescriptorStorage.Unlock(_descriptor.Value);
    }

    /// <inheritdoc/>
    public void Dispose() => _descriptor.Dispose();

    private static OwnedDescriptor OpenOrCreate(string path, bool readOnly, bool mayCreate, ResourceLedger? ledger)
    {
        try
        {
            return DescriptorStorage.Open(path, !readOnly, create: false, ledger);
        }
        catch (SystemCallException e) when (e.Errno == Errno.ENOENT && mayCreate && !readOnly)
        {
            // Made below.
        }
        catch (SystemCallException e)
        {
            throw Refused(path, e.Errno, e.Errno switch
            {
                Errno.ENOENT when readOnly => "there is no such file; a read-only disk needs an image that is there",
                Errno.ENOENT => "there is no such file; give a size as well to have it made, or the path of an image",
                Errno.EISDIR => "it is a directory; give the path of a disk image in it",
                Errno.EACCES or Errno.EPERM or Errno.EROFS when !readOnly => "it may not be written; make it writable for this user, or serve it read-only",
                Errno.EACCES or Errno.EPERM => "it may not be read; make it readable for this user",
                _ => e.Message,
            });
        }

        try
        {
            return DescriptorStorage.Open(path, write: true, create: true, ledger);
        }
        catch (SystemCallException e)
        {
            throw Refused(path, e.Errno, e.Errno switch
            {
                Errno.ENOENT => "its folder is not there; make it first",
                Errno.EACCES or Errno.EPERM or Errno.EROFS => "it cannot be made in a folder that may not be written; use another one",
                _ => e.Message,
            });
        }
    }

    /// <summary>Gives a new image its size, and its name in the folder a place on the medium.</summary>
    private static ulong Size(OwnedDescriptor descriptor, string path, ulong length)
    {
        Errno error = DescriptorStorage.SetLength(descriptor.Value, length);
        if (error != Errno.None)
        {
            throw Refused(path, error, $"it cannot be made {length} bytes long; choose a smaller size or another file system");
        }

        using OwnedDescriptor folder = DescriptorStorage.Open(Path.GetDirectoryName(Path.GetFullPath(path)) ?? "/", write: false);
        error = DescriptorStorage.SyncAll(descriptor.Value);
        error = error == Errno.None ? DescriptorStorage.SyncAll(folder.Value) : error;

        // Some file systems have nothing to make durable and say EINVAL.
        return error is Errno.None or Errno.EINVAL
            ? length
            : throw Refused(path, error, "it cannot be made durable; use another file system");
    }

    private static void CheckLength(string path, ulong length, int blockSize)
    {
        if (length == 0)
        {
            throw Refused(path, Errno.EINVAL, "it is empty; give a size as well to have it made");
        }

        if (length % (ulong)blockSize != 0 || length > long.MaxValue)
        {
            throw Refused(path, Errno.EINVAL, $"{length} bytes are not a whole number of blocks of {blockSize} bytes; change its size or the block size");
        }
    }

    private static VfioException Refused(string path, Errno errno, string why) => new(errno, $"image '{path}'", why);

    private Errno Check(ulong offset, ulong length)
    {
        if (_use != Use.Active && (_use == Use.Released || Activate() != Errno.None))
        {
            return Errno.EBUSY;
        }

        return offset <= Length && length <= Length - offset ? Errno.None : Errno.EFAULT;
    }

    /// <summary>
    /// Whether the file still goes as far as this. One that somebody cuts while it is served has lost blocks: a write behind its end would
    /// make it grow again, with zeroes where blocks were.
    /// </summary>
    private Errno CheckEnd(ulong end)
    {
        Errno error = DescriptorStorage.TryGetLength(_descriptor.Value, out ulong length);
        return error == Errno.None && end > length ? Errno.EIO : error;
    }

    private Errno CheckWrite(ulong offset, ulong length) => IsReadOnly ? Errno.EROFS : Check(offset, length);
}
