using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>Features, migration and logging, which the server has.</content>
public sealed partial class RemoteVfioDevice
{
    /// <summary>No feature that goes over the wire has more data.</summary>
    private const int MostFeatureData = 4096;

    private RemoteMigration? _migration;
    private LoggingOperations? _logging;

    /// <inheritdoc/>
    protected override MigrationOperations? Migration => _migration?.Operations;

    /// <inheritdoc/>
    protected override LoggingOperations? Logging => _logging;

    /// <inheritdoc/>
    /// <remarks>Features whose data are pointers or descriptors of this process end here: the server could do nothing with them.</remarks>
    protected override void Feature(in VfioFeatureRequest request)
    {
        if (request.Feature is VfioFeature.DmaBuf or VfioFeature.LowPowerEntryWithWakeup)
        {
            throw NoFeature(request);
        }

        if (request.Data.Length > MostFeatureData)
        {
            throw new VfioException(Errno.E2BIG, request.What, $"{request.Data.Length} bytes of data; at most {MostFeatureData} go over the wire");
        }

        Span<byte> answer = stackalloc byte[MostFeatureData];
        answer = answer[..request.Data.Length];
        VfioFeatureFlags operation = request.Flags & VfioFeatureFlags.Operations;
        int length = Facts.Client.Feature(request.Feature, operation, request.Data, answer);
        if (operation == VfioFeatureFlags.Get)
        {
            answer[..length].CopyTo(request.Data);
        }
    }

    private LoggingOperations? CreateLogging(VfioUserClient client)
    {
        try
        {
            client.Feature(VfioFeature.DmaLoggingStart, VfioFeatureFlags.Probe | VfioFeatureFlags.Set, [], []);
        }
        catch (VfioException none) when (none.Errno is Errno.ENOTTY or Errno.EINVAL or Errno.EOPNOTSUPP)
        {
            return null;
        }

        return new LoggingOperations
        {
            Start = (ranges, pageSize) => StartLogging(client, ranges, pageSize),
            Stop = () => StopLogging(client),
            Report = (range, receiver) => ReportLogging(client, range, receiver),
        };
    }

    private ulong StartLogging(VfioUserClient client, IReadOnlyList<IovaRange> ranges, ulong pageSize)
    {
        lock (_link.Gate)
        {
            ulong used = client.StartDmaLogging(
                [.. ranges.Select(static r => new VfioFeatureDmaLoggingRange { Iova = r.First, Size = r.Last - r.First + 1 })], pageSize);
            _link.Dirt = new UnmappedDirt(Math.Max(used, VfioFeatureDmaLoggingReport.SmallestPage));
            return used;
        }
    }

    private void StopLogging(VfioUserClient client)
    {
        lock (_link.Gate)
        {
            client.StopDmaLogging();
            _link.Dirt = null;
        }
    }

    private void ReportLogging(VfioUserClient client, IovaRange range, Action<IovaRange> receiver)
    {
        lock (_link.Gate)
        {
            UnmappedDirt dirt = _link.Dirt ?? throw new VfioException(Errno.EINVAL, $"reading what {Name} has written", "DMA logging is not started");
            ulong most = dirt.PageSize * VfioUserClient.MostBitmapWords * 64;
            List<IovaRange> runs = dirt.Take(range);
            int told = 0;
            try
            {
                for (ulong first = range.First; ; first += most)
                {
                    ulong last = range.Last - first < most ? range.Last : first + (most - 1);
                    ulong[] bitmap = client.ReportDmaLogging(first, last - first + 1, dirt.PageSize);
                    UnmappedDirt.ForEachRun(bitmap, new IovaRange(first, last), dirt.PageSize, runs.Add);
                    if (last == range.Last)
                    {
                        break;
                    }
                }

                for (; told < runs.Count; told++)
                {
                    receiver(runs[told]);
                }
            }
            catch
            {
                // The server has forgotten them already.
                runs[told..].ForEach(dirt.Keep);
                throw;
            }
        }
    }
}
