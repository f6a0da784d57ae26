using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// The parts of a region that a client can map, and the files behind them. Memory without a file stays unmapped. What a client has mapped
/// cannot be taken away again, so with the session's end the memory gets other files.
/// </summary>
internal sealed class SharedRegion
{
    private readonly List<VfioUserRegionFileArea> _areas = [];
    private readonly List<OwnedDescriptor> _files = [];
    private readonly List<UserMemory> _memories = [];

    private SharedRegion()
    {
    }

    /// <summary>The areas, with the files that they are in.</summary>
    public IReadOnlyList<VfioUserRegionFileArea> Areas => _areas;

    /// <summary>The files, one for each number that an area names.</summary>
    public IReadOnlyList<OwnedDescriptor> Files => _files;

    /// <summary>Where in the file the region would begin, when one descriptor and one offset say it all.</summary>
    public ulong FileOffset => _areas.Count == 0 ? 0 : _areas[0].FileOffset - _areas[0].Offset;

    /// <summary>Whether one descriptor and one offset say it all.</summary>
    public bool HasOneFile => _areas.TrueForAll(a => IsWithFirst(a));

    /// <summary>Finds out what of a region can be mapped by somebody else.</summary>
    /// <param name="file">The device.</param>
    /// <param name="info">The region.</param>
    /// <param name="mostFiles">How many descriptors the client takes in one message.</param>
    /// <param name="manyFiles">Whether it understands more than one of a region; otherwise it hears of one file's areas only.</param>
    /// <returns>The areas; none when nothing can be mapped.</returns>
    /// <exception cref="SystemCallException">The process has no descriptor left.</exception>
    public static SharedRegion Open(VfioDeviceFile file, in VfioRegionInfo info, int mostFiles, bool manyFiles)
    {
        var region = new SharedRegion();
        if ((info.Flags & VfioRegionFlags.Mmap) == 0 || mostFiles == 0)
        {
            return region;
        }

        try
        {
            foreach (VfioRegionArea area in info.MappableAreas ?? [new VfioRegionArea(0, info.Size)])
            {
                region.Add(file, info.Index, area, manyFiles ? mostFiles : 1, manyFiles);
            }

            return region;
        }
        catch
        {
            region.Withdraw();
            throw;
        }
    }

    /// <summary>Takes the memory away from the client.</summary>
    /// <exception cref="SystemCallException">See <see cref="UserMemory.Withdraw"/>; all of it is withdrawn.</exception>
    public void Withdraw()
    {
        SystemCallException? failed = null;
        foreach (UserMemory memory in _memories)
        {
            try
            {
                memory.Withdraw();
            }
            catch (SystemCallException e)
            {
                failed = e;
            }

            memory.Release();
        }

        _memories.Clear();
        if (failed is not null)
        {
            throw failed;
        }
    }

    private void Add(VfioDeviceFile file, int region, VfioRegionArea area, int mostFiles, bool manyFiles)
    {
        UserMemory memory = file.Map((uint)region, area.Offset, area.Size).Memory;
        memory.Hold();
        _memories.Add(memory);
        if (memory.Share(out ulong offset) is not { } descriptor)
        {
            return;
        }

        int index = _files.IndexOf(descriptor);
        var entry = new VfioUserRegionFileArea
        {
            Offset = area.Offset,
            FileOffset = offset,
            Size = area.Size,
            DescriptorIndex = (uint)(index < 0 ? _files.Count : index),
        };
        if ((index < 0 && _files.Count == mostFiles) || (!manyFiles && !IsWithFirst(entry)))
        {
            return;
        }

        if (index < 0)
        {
            _files.Add(descriptor);
        }

        _areas.Add(entry);
    }

    private bool IsWithFirst(in VfioUserRegionFileArea area)
    {
        VfioUserRegionFileArea first = _areas.Count == 0 ? area : _areas[0];
        return area.DescriptorIndex == 0 && area.FileOffset >= area.Offset && area.FileOffset - area.Offset == first.FileOffset - first.Offset;
    }
}
