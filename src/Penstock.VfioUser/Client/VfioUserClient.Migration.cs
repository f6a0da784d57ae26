using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>DEVICE_FEATURE, MIG_DATA_READ and MIG_DATA_WRITE.</content>
public sealed partial class VfioUserClient
{
    /// <summary>A bitmap of 256 KiB stands for 8 GiB in pages of 4 KiB, and fits into any message.</summary>
    internal const ulong MostBitmapWords = 32 * 1024;

    /// <summary>What the device can do in a migration.</summary>
    /// <returns>Its abilities.</returns>
    /// <exception cref="VfioException">ENOTTY: it does not migrate; as every command.</exception>
    public MigrationFlags GetMigrationFlags() => GetFeature<VfioFeatureMigration>(VfioFeature.Migration).Flags;

    /// <summary>The device's migration state.</summary>
    /// <returns>The state.</returns>
    /// <exception cref="VfioException">As <see cref="GetMigrationFlags"/>.</exception>
    public MigrationState GetMigrationState() => GetFeature<VfioFeatureMigrationState>(VfioFeature.MigrationDeviceState).DeviceState;

    /// <summary>About how many bytes the device would have to save if it were stopped now.</summary>
    /// <returns>Bytes.</returns>
    /// <exception cref="VfioException">As <see cref="GetMigrationFlags"/>; ENOTTY or EINVAL also from a server that does not tell.</exception>
    public ulong GetMigrationDataSize() => GetFeature<VfioFeatureMigrationDataSize>(VfioFeature.MigrationDataSize).StopCopyLength;

    /// <summary>Moves the device to a migration state. Data is then read or written by messages.</summary>
    /// <param name="state">The state.</param>
    /// <exception cref="VfioException">EINVAL: no way leads there, or what was written is no state of this device; as every command.</exception>
    public void SetMigrationState(MigrationState state)
    {
        var value = new VfioFeatureMigrationState { DeviceState = state, DataDescriptor = VfioFeatureMigrationState.NoDescriptor };
        SetFeature(VfioFeature.MigrationDeviceState, MemoryMarshal.AsBytes(new ReadOnlySpan<VfioFeatureMigrationState>(ref value)));
    }

    /// <summary>How much there is to read before the device stops (GET_PRECOPY_INFO of newer drafts).</summary>
    /// <returns>Initial and other bytes, and whether the state begins anew.</returns>
    /// <exception cref="VfioException">EINVAL: not in PRE_COPY, or the server does not know the command; as every command.</exception>
    public VfioPrecopyInfo GetPrecopyInfo() => Exchange(VfioUserCommand.GetPrecopyInfo, new VfioPrecopyInfo { ArgumentSize = VfioPrecopyInfo.Length });

    /// <summary>Reads on in the device's state.</summary>
    /// <param name="destination">Receives the bytes; at most what the server takes in one message are asked for.</param>
    /// <returns>How many came; 0 at the end, and while the device runs also when there is nothing just now.</returns>
    /// <exception cref="VfioException">EINVAL or ENODEV: the device is not in a state in which it is saved; as every command.</exception>
    public int ReadMigrationData(Span<byte> destination)
    {
        int asked = Math.Min(destination.Length, MostData);
        var call = new VfioUserMigrationData { ArgumentSize = (uint)(VfioUserMigrationData.Length + asked), Size = (uint)asked };
        VfioUserMigrationData came = default;
        Errno errno = _connection.Run(
            new ClientCall
            {
                Command = VfioUserCommand.MigDataRead,
                Head = MemoryMarshal.AsBytes(new ReadOnlySpan<VfioUserMigrationData>(ref call)),
                ReplyHead = MemoryMarshal.AsBytes(new Span<VfioUserMigrationData>(ref came)),
                ReplyData = destination[..asked],
                LeastReply = VfioUserMigrationData.Length,
            },
            out ClientReply reply);
        if (errno == Errno.ENOMSG)
        {
            return 0;
        }

        if (errno != Errno.None)
        {
            throw ClientConnection.Refused(errno, VfioUserCommand.MigDataRead, reply);
        }

        // The C library fills a reply up to what was asked for; the size counts.
        Require(
            came.Size <= (uint)(reply.Length - VfioUserMigrationData.Length),
            VfioUserCommand.MigDataRead,
            $"the reply tells of {came.Size} bytes and has {reply.Length - VfioUserMigrationData.Length}");
        return (int)came.Size;
    }

    /// <summary>Writes on in the device's state.</summary>
    /// <param name="source">The bytes; they are sent in as many messages as it takes.</param>
    /// <exception cref="VfioException">EINVAL: the device is not in RESUMING, or sees already that this is no state of it; as every command.</exception>
    public void WriteMigrationData(ReadOnlySpan<byte> source)
    {
        while (!source.IsEmpty)
        {
            ReadOnlySpan<byte> part = source[..Math.Min(source.Length, MostData)];
            var call = new VfioUserMigrationData { ArgumentSize = (uint)(VfioUserMigrationData.Length + part.Length), Size = (uint)part.Length };
            VfioUserMigrationData echo = default;

            // A reply has no payload, or in newer drafts the structure.
            Run(new ClientCall
            {
                Command = VfioUserCommand.MigDataWrite,
                Head = MemoryMarshal.AsBytes(new ReadOnlySpan<VfioUserMigrationData>(ref call)),
                Data = part,
                ReplyHead = MemoryMarshal.AsBytes(new Span<VfioUserMigrationData>(ref echo)),
            });
            source = source[part.Length..];
        }
    }

    /// <summary>Begins to remember what the device writes (feature 6).</summary>
    /// <param name="ranges">Where.</param>
    /// <param name="pageSize">Bytes that one bit should stand for.</param>
    /// <returns>The page size that the device uses.</returns>
    /// <exception cref="VfioException">ENOTTY: the device cannot; EINVAL: a range, or logging is started; as every command.</exception>
    public ulong StartDmaLogging(ReadOnlySpan<VfioFeatureDmaLoggingRange> ranges, ulong pageSize)
    {
        byte[] data = new byte[VfioUserDmaLoggingControl.Length + (ranges.Length * VfioFeatureDmaLoggingRange.Length)];
        MemoryMarshal.Write(data, new VfioUserDmaLoggingControl { PageSize = pageSize, RangeCount = (uint)ranges.Length });
        MemoryMarshal.AsBytes(ranges).CopyTo(data.AsSpan(VfioUserDmaLoggingControl.Length));
        byte[] echo = new byte[data.Length];
        int length = Feature(VfioFeature.DmaLoggingStart, VfioFeatureFlags.Set, data, echo);
        ulong used = length >= VfioUserDmaLoggingControl.Length ? MemoryMarshal.Read<VfioUserDmaLoggingControl>(echo).PageSize : pageSize;
        Require(ulong.IsPow2(used), VfioUserCommand.DeviceFeature, $"logging in pages of {used} bytes");
        return used;
    }

    /// <summary>Ends it (feature 7).</summary>
    /// <exception cref="VfioException">ENOTTY: the device cannot; as every command.</exception>
    public void StopDmaLogging() => SetFeature(VfioFeature.DmaLoggingStop, []);

    /// <summary>Tells what the device has written in a range, and forgets it (feature 8).</summary>
    /// <param name="iova">First address.</param>
    /// <param name="size">Length in bytes.</param>
    /// <param name="pageSize">Bytes that one bit stands for: a power of two, at least 4096.</param>
    /// <returns>The bitmap, in words of 64 bits; bit 0 is the page at the first address.</returns>
    /// <exception cref="VfioException">EINVAL: logging is not started; EMSGSIZE: the bitmap is longer than a message; as every command.</exception>
    public ulong[] ReportDmaLogging(ulong iova, ulong size, ulong pageSize)
    {
        ArgumentOutOfRangeException.ThrowIfZero(pageSize);
        ulong[] bitmap = new ulong[WordsFor(VfioUserCommand.DeviceFeature, size, pageSize)];
        byte[] answer = new byte[VfioUserDmaLoggingReport.Length + (bitmap.Length * sizeof(ulong))];
        var report = new VfioUserDmaLoggingReport { Iova = iova, Size = size, PageSize = pageSize };
        int length = Feature(
            VfioFeature.DmaLoggingReport, VfioFeatureFlags.Get, MemoryMarshal.AsBytes(new ReadOnlySpan<VfioUserDmaLoggingReport>(ref report)), answer);
        Require(length == answer.Length, VfioUserCommand.DeviceFeature, $"the report has {length} bytes, {answer.Length} are needed");
        answer.AsSpan(VfioUserDmaLoggingReport.Length).CopyTo(MemoryMarshal.AsBytes(bitmap.AsSpan()));
        return bitmap;
    }

    /// <summary>DEVICE_FEATURE with any feature that needs neither pointers nor descriptors.</summary>
    /// <param name="feature">The feature.</param>
    /// <param name="operation">Get, set or probe.</param>
    /// <param name="data">The feature's structure.</param>
    /// <param name="answer">Receives what follows the head of the reply, at most as much as fits.</param>
    /// <returns>Bytes of that.</returns>
    /// <exception cref="VfioException">ENOTTY: the device does not have it; as every command.</exception>
    public int Feature(VfioFeature feature, VfioFeatureFlags operation, ReadOnlySpan<byte> data, Span<byte> answer)
    {
        Span<byte> head = stackalloc byte[VfioDeviceFeature.Length];
        MemoryMarshal.Write(head, new VfioDeviceFeature
        {
            ArgumentSize = (uint)(VfioDeviceFeature.Length + Math.Max(data.Length, answer.Length)),
            Flags = (VfioFeatureFlags)feature | operation,
        });
        Span<byte> echo = stackalloc byte[VfioDeviceFeature.Length];
        ClientReply reply = Run(new ClientCall
        {
            Command = VfioUserCommand.DeviceFeature,
            Head = head,
            Data = data,
            ReplyHead = echo,
            ReplyData = answer,
        });
        return Math.Max(0, reply.Length - VfioDeviceFeature.Length);
    }

    private T GetFeature<T>(VfioFeature feature)
        where T : unmanaged
    {
        T request = default;
        T value = default;
        int length = Feature(feature, VfioFeatureFlags.Get, MemoryMarshal.AsBytes(new ReadOnlySpan<T>(ref request)), MemoryMarshal.AsBytes(new Span<T>(ref value)));
        Require(length >= Unsafe.SizeOf<T>(), VfioUserCommand.DeviceFeature, $"the reply has {length} bytes of data, {Unsafe.SizeOf<T>()} are needed");
        return value;
    }

    /// <summary>The reply is the request once more, as far as it is taken.</summary>
    private void SetFeature(VfioFeature feature, ReadOnlySpan<byte> data) => Feature(feature, VfioFeatureFlags.Set, data, new byte[data.Length]);
}
