/*
 * What programs for guests that use the kernel's VFIO have in common: words for their steps, a container of type1v2 with one device, maps and unmaps of it. A
 * program includes it once, after its PROGRAM.
 */
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "freestanding.h"

#define PAGE 4096UL

static int container, device;

static void say(const char *step, word number, const char *what)
{
	put(1, PROGRAM ": ");
	put(1, step);
	put(1, " ");
	put_number(1, number);
	put(1, what);
	put(1, "\n");
}

static void require(int condition, const char *what)
{
	if (condition)
		return;
	put(2, PROGRAM ": not as it must be: ");
	put(2, what);
	put(2, "\n");
	leave(1);
}

static long ioctl(const char *what, int fd, word request, word argument)
{
	return check(what, syscall3(__NR_ioctl, fd, request, argument));
}

static void map(void *memory, word iova, word size, unsigned flags)
{
	struct vfio_iommu_type1_dma_map argument = {
		.argsz = sizeof argument, .flags = flags, .vaddr = (word)memory, .iova = iova, .size = size,
	};
	ioctl("VFIO_IOMMU_MAP_DMA", container, VFIO_IOMMU_MAP_DMA, (word)&argument);
}

static void unmap(word iova, word size)
{
	struct vfio_iommu_type1_dma_unmap argument = { .argsz = sizeof argument, .iova = iova, .size = size };
	ioctl("VFIO_IOMMU_UNMAP_DMA", container, VFIO_IOMMU_UNMAP_DMA, (word)&argument);
	require(argument.size == size, "an unmap did not take away all that was mapped");
}

static void open_device(const char *group_file, const char *name)
{
	struct vfio_group_status status = { .argsz = sizeof status };
	container = check("/dev/vfio/vfio", syscall3(__NR_open, (word)"/dev/vfio/vfio", O_RDWR | O_CLOEXEC, 0));
	require(ioctl("VFIO_CHECK_EXTENSION", container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) == 1, "the kernel has no type1v2");
	int group = check(group_file, syscall3(__NR_open, (word)group_file, O_RDWR | O_CLOEXEC, 0));
	ioctl("VFIO_GROUP_GET_STATUS", group, VFIO_GROUP_GET_STATUS, (word)&status);
	require(status.flags & VFIO_GROUP_FLAGS_VIABLE, "the group is not viable");
	ioctl("VFIO_GROUP_SET_CONTAINER", group, VFIO_GROUP_SET_CONTAINER, (word)&container);
	ioctl("VFIO_SET_IOMMU", container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	device = ioctl(name, group, VFIO_GROUP_GET_DEVICE_FD, (word)name);
}

static struct vfio_region_info region_at(unsigned index)
{
	struct vfio_region_info region = { .argsz = sizeof region, .index = index };
	ioctl("VFIO_DEVICE_GET_REGION_INFO", device, VFIO_DEVICE_GET_REGION_INFO, (word)&region);
	return region;
}

/* Lets the device decode its registers and reach memory. */
static void enable_device(void)
{
	unsigned char command[2] = { PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0 };
	check("cannot write the command register", syscall6(
		__NR_pwrite64, device, (word)command, sizeof command, region_at(VFIO_PCI_CONFIG_REGION_INDEX).offset + PCI_COMMAND, 0, 0));
}
