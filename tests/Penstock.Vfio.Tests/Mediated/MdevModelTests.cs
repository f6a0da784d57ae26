using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests.Mediated;

/// <summary>Random steps on one thread against a naive book of what should be: every answer and every count, after each step.</summary>
public sealed class MdevModelTests
{
    private const int Steps = 20_000;
    private const int Parents = 3;
    private const int Uuids = 8;
    private const int Instances = 3;

    [Theory]
    [Trait("Row", "O5")]
    [InlineData(1)]
    [InlineData(2)]
    public void RandomLives_OneThread_EveryAnswerAndCountIsAsInTheBook(int seed)
    {
        var random = new Random(seed);
        using var world = new World();
        for (int step = 0; step < Steps; step++)
        {
            int parent = random.Next(Parents);
            int uuid = random.Next(Uuids);
            (string name, Errno expected, Errno actual) = random.Next(12) switch
            {
                < 4 => ("create", world.ExpectCreate(parent, uuid, out bool fails), world.Create(parent, uuid, fails)),
                < 6 => ("remove", world.ExpectRemove(uuid), world.Remove(uuid)),
                < 8 => ("open", world.ExpectOpen(uuid), world.Open(uuid)),
                8 => ("close", Errno.None, world.Close(uuid)),
                9 => ("hold", world.ExpectHold(uuid), world.Hold(uuid)),
                10 => ("release", Errno.None, world.ReleaseHold(uuid)),
                _ when random.Next(10) == 0 => ("leave or join", Errno.None, world.Toggle(parent)),
                _ => ("nothing", Errno.None, Errno.None),
            };
            Assert.Equal((step, name, expected), (step, name, actual));
            world.Verify();
        }
    }

    /// <summary>What there should be of a UUID.</summary>
    private sealed class Entry
    {
        public required MdevDevice Mdev { get; init; }

        public required int Parent { get; init; }

        public bool IsRemoved { get; set; }

        public int Holds { get; set; }

        public VfioDeviceFile? File { get; set; }
    }

    private sealed class World : IDisposable
    {
        private readonly VfioHost _host = new();
        private readonly FakeMdevDriver[] _drivers = [.. Enumerable.Range(0, Parents).Select(_ => new FakeMdevDriver(Instances))];
        private readonly MdevType[] _types = [.. Enumerable.Range(0, Parents).Select(i => new MdevType($"type{i}"))];
        private readonly Guid[] _uuids = [.. Enumerable.Range(1, Uuids).Select(i => new Guid(i, 0, 0, new byte[8]))];
        private readonly Dictionary<int, Entry> _book = [];
        private readonly bool[] _registered = new bool[Parents];
        private readonly List<int>[] _ghosts = [.. Enumerable.Range(0, Parents).Select(_ => new List<int>())];
        private int _events;
        private int _toggles;

        internal World()
        {
            _host.Uevent += _ => _events++;
            for (int i = 0; i < Parents; i++)
            {
                Toggle(i);
            }
        }

        public void Dispose()
        {
            foreach (int uuid in _book.Keys.ToArray())
            {
                while (_book.TryGetValue(uuid, out Entry? entry) && entry.Holds != 0)
                {
                    ReleaseHold(uuid);
                }
            }

            foreach (int parent in Enumerable.Range(0, Parents).Where(p => _registered[p]))
            {
                Toggle(parent);
            }

            Verify();
            Assert.Empty(_host.MdevDevices);
            Assert.All(_drivers, d => Assert.Equal((d.Probes, d.Opens), (d.Removes, d.Closes)));
            Assert.Equal("nothing", _host.Ledger.ToString());
            _host.Dispose();
        }

        internal Errno ExpectCreate(int parent, int uuid, out bool fails)
        {
            fails = (uuid + parent) % 5 == 0 && _toggles % 2 == 0;
            return _book.ContainsKey(uuid) ? Errno.EEXIST
                : Taken(parent) == Instances ? Errno.EUSERS
                : !_registered[parent] ? Errno.ENODEV
                : fails ? Errno.ENOSPC
                : Errno.None;
        }

        internal Errno Create(int parent, int uuid, bool fails)
        {
            _drivers[parent].ProbeError = fails ? Errno.ENOSPC : Errno.None;
            return ErrnoOf(() => _book.Add(uuid, new Entry { Mdev = _types[parent].Create(_uuids[uuid]), Parent = parent }));
        }

        internal Errno ExpectRemove(int uuid) =>
            !_book.TryGetValue(uuid, out Entry? entry) ? Errno.None : entry.IsRemoved ? Errno.EAGAIN : Errno.None;

        internal Errno Remove(int uuid)
        {
            if (!_book.TryGetValue(uuid, out Entry? entry))
            {
                return Errno.None;
            }

            return ErrnoOf(() =>
            {
                entry.Mdev.Remove();
                Gone(uuid, entry);
            });
        }

        internal Errno ExpectOpen(int uuid) =>
            !_book.TryGetValue(uuid, out Entry? entry) || entry.IsRemoved ? Errno.ENODEV : entry.File is not null ? Errno.EBUSY : Errno.None;

        internal Errno Open(int uuid) => ErrnoOf(() =>
        {
            Entry? entry = _book.GetValueOrDefault(uuid);
            VfioDevice device = entry?.Mdev.Device ?? throw new VfioException(Errno.ENODEV, "opening", "it has no device");
            using VfioGroup group = _host.OpenGroup(device.Group!.Number, Rig.User);
            using VfioContainer container = _host.OpenContainer(Rig.User);
            group.SetContainer(container);
            container.SetIommu(VfioIommuType.Type1V2);
            entry.File = group.OpenDevice(entry.Mdev.Name);

            // Whoever has it open closes it when the host asks; the removal has to see to it.
            ((EmulatedDevice)device).OnRequest = _ => Close(uuid);
        });

        internal Errno Close(int uuid)
        {
            if (_book.TryGetValue(uuid, out Entry? entry))
            {
                entry.File?.Dispose();
                entry.File = null;
            }

            return Errno.None;
        }

        internal Errno ExpectHold(int uuid) => _book.ContainsKey(uuid) ? Errno.None : Errno.ENODEV;

        internal Errno Hold(int uuid) => ErrnoOf(() =>
        {
            Entry entry = _book.GetValueOrDefault(uuid) ?? throw new VfioException(Errno.ENODEV, "holding", "there is none");
            entry.Mdev.Hold();
            entry.Holds++;
        });

        internal Errno ReleaseHold(int uuid)
        {
            if (_book.TryGetValue(uuid, out Entry? entry) && entry.Holds != 0)
            {
                entry.Mdev.Release();
                if (--entry.Holds == 0 && entry.IsRemoved)
                {
                    _book.Remove(uuid);
                }
            }

            return Errno.None;
        }

        /// <summary>Unregisters the parent, or registers it anew.</summary>
        internal Errno Toggle(int parent)
        {
            _toggles++;
            if (!_registered[parent])
            {
                _host.RegisterMdevParent($"parent{parent}", _drivers[parent], _types[parent]);
                _registered[parent] = true;
                _ghosts[parent] = [.. _book.Where(e => e.Value.Parent == parent).Select(e => e.Key)];
                return Errno.None;
            }

            _types[parent].Parent.Unregister();
            _registered[parent] = false;
            foreach ((int uuid, Entry entry) in _book.Where(e => e.Value.Parent == parent && !e.Value.IsRemoved).ToArray())
            {
                Gone(uuid, entry);
            }

            return Errno.None;
        }

        internal void Verify()
        {
            Assert.Equal(_book.Values.Select(e => e.Mdev).ToHashSet(), _host.MdevDevices.ToHashSet());
            int alive = _book.Values.Count(e => !e.IsRemoved);
            Assert.Equal((alive, alive), (_host.Devices.Count, _host.Groups.Count));
            Assert.Equal(_toggles, _events);
            Assert.Equal(_registered.Count(r => r), _host.MdevParents.Count);
            for (int i = 0; i < Parents; i++)
            {
                Assert.Equal(Instances - Taken(i), _types[i].AvailableInstances);
            }
        }

        /// <summary>Instances of the present parent; what is left of an earlier registration is counted there.</summary>
        private int Taken(int parent)
        {
            _ghosts[parent].RemoveAll(g => !_book.ContainsKey(g));
            return _book.Count(e => e.Value.Parent == parent && !_ghosts[parent].Contains(e.Key));
        }

        private void Gone(int uuid, Entry entry)
        {
            entry.IsRemoved = true;
            if (entry.Holds == 0)
            {
                _book.Remove(uuid);
            }
        }
    }
}
